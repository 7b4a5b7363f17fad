import tlexp.models


def test_the_public_names_are_these() -> None:
    assert tlexp.models.__all__ == sorted(tlexp.models.__all__)
    assert set(tlexp.models.__all__) == {
        "CALIBRATED",
        "Classifier",
        "ExportedModel",
        "Freezing",
        "HeadOptions",
        "ModelCard",
        "Phase",
        "Unit",
        "WeightsOrigin",
        "build_backbone",
        "build_head",
        "calibrate",
        "feature_shape",
        "feature_width",
        "find_units",
        "freeze_depth",
        "freeze_phases",
        "frozen_told",
        "keeps_statistics",
        "load_classifier",
        "load_weights",
        "phase_steps",
        "preprocessing",
        "resolve_freezing",
        "save_classifier",
    }
