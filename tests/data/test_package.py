import subprocess
import sys

import pytest

import tlexp.data


def test_the_public_names_are_these() -> None:
    assert set(tlexp.data.__all__) == {
        "IN_MEMORY", "Augment", "ClassNames", "Counts", "Decoding", "Fold", "Folder", "Grouper", "ImageBank",
        "ImageBatches", "Images", "Index", "OnProgress", "Order", "Origin", "Reading", "Shapes", "Source", "TableFile",
        "TimmSet", "Views", "add_neither", "add_shifted", "budget_counts", "build_augment", "chunks", "copies_csv",
        "copy_notes",
        "draw_budget", "draw_rest", "fit_image", "fold_count", "groups_per_class", "leaks_csv", "load_bank",
        "name_classes", "normalise", "read_class_names", "read_group_table", "selection_folds", "view_batch",
    }  # fmt: skip
    assert all(hasattr(tlexp.data, name) for name in tlexp.data.__all__)
    with pytest.raises(ImportError, match="load_bnak"):
        from tlexp.data import load_bnak  # noqa: F401


def test_a_folder_is_listed_without_torch() -> None:
    code = (
        "import sys, tlexp.data.listing, tlexp.compose.preflight\n"
        "from tlexp.data import Folder\n"
        "heavy = {'torch', 'timm', 'sklearn', 'torchvision'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
