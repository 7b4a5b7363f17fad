"""Ten minutes on a GPU: what no CPU can tell, in the order in which it is worth to know.

    python tests/benchmarks/bench_gpu.py [PART ...] [--device cuda] [--steps 200] [--batch 64]

tests    the tests that need a GPU
default  the default run twice: the second finds all features
cuts     20 steps behind a cut, in float32 and in half precision: none may say "cannot be cut"
study    study=quick with deterministic kernels alone
waits    resnet50, all of it trained, with three augmentations: what made the device wait, by torch's own account
flops    resnet50 and vit_small at 224 px in bfloat16, as they are and compiled: operations a second, and their share of
         what a product of large matrices reaches here
frozen   images a second through the frozen pass, against the bare network fed from the device's memory
decoders JPEGs to the network's input, as data.decoder=exact and fast make it; resizing them alone; torchvision's
         decoder, on a GPU nvJPEG, alone and resizing there; how far the pixels are from those of exact
photos   images a second through the frozen pass from JPEG files, read ahead and in turn
heads    52 heads at once against 52 in turn
growth   memory of ten runs in one process, after each
whole    study=freeze_vs_labels and study=backbones, for as long as they take; not among those of ten minutes

A part that fails says so and the next begins. Without a GPU, `--device cpu --steps 3 --batch 4` shows that the parts
run at all.
"""

import argparse
import functools
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from tlexp.cache import compute_rows
from tlexp.compose.load import load
from tlexp.config import Preprocessing
from tlexp.config.augment import AugmentKind
from tlexp.config.data import Decoder
from tlexp.config.head import HeadKind
from tlexp.config.optim import Optimizer, Schedule
from tlexp.data import Decoding, ImageBank, ImageBatches, build_augment, chunks, load_bank
from tlexp.data.decode import decode
from tlexp.data.transforms import IMAGE_BY_IMAGE
from tlexp.data.transforms import _timm_transform as timm_transform
from tlexp.experiment.run import run
from tlexp.experiment.session import process_session
from tlexp.models import Classifier, build_backbone, build_head, feature_width
from tlexp.models.units import find_units
from tlexp.train import FitPlan, FitReport, Listener, choose_device, fit, settle_process

SIZE, CLASSES = 224, 10
TURNS = 5
"""Of what takes turns."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HERE = Path(__file__).resolve().parent
FEW = ["data.per_class=10", "data.test_per_class=4", "data.num_classes=3"]
"""Images that a CPU gets through."""
SHORT = ["tracking=off", "tracking.figures=false", "train.save_weights=false"]


def command(*words: str) -> None:
    """Run a command, and show it and its seconds; what it prints stands below."""
    print("$", " ".join(words), flush=True)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *words], check=False)
    print(f"exit status {done.returncode}, {time.perf_counter() - began:.0f} s", flush=True)


def tests(options: argparse.Namespace) -> None:
    files = (path for path in HERE.parent.rglob("test_*.py") if "pytest.mark.gpu" in path.read_text())
    command("-m", "pytest", "-m", "gpu", "-n", "0", *map(str, sorted(files)))


def default(options: argparse.Namespace) -> None:
    for _ in range(2):
        command("-m", "tlexp", f"train.device={options.device}", "tracking=off")


def cuts(options: argparse.Namespace) -> None:
    names = ("vit_small_patch16_224", "convnext_tiny", "resnet18")
    for name, precision in itertools.product(names, ("fp32", "bf16")):
        words = ["backbone=timm", f"backbone.name={name}", "backbone.pretrained=false", "freeze=last", "cache.mode=on"]
        words += [f"train.precision={precision}", "train.limit_steps=20", "tune.validate=false", *SHORT]
        few = [*FEW, "labels=4"] if options.device == "cpu" else []
        command("-m", "tlexp", *words, f"train.device={options.device}", *few)


def study(options: argparse.Namespace) -> None:
    few = [*FEW, "study.labels=[2,4]", "study.seeds=2"] if options.device == "cpu" else []
    command("-m", "tlexp", "study=quick", "train.deterministic=true", f"train.device={options.device}", *few)


def bank(count: int) -> ImageBank:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    return ImageBank(pixels=pixels, labels=torch.arange(count) % CLASSES)


def network(name: str, device: torch.device) -> Classifier:
    backbone = build_backbone(name, image_size=SIZE)
    head = build_head(kind=HeadKind.linear, in_features=feature_width(backbone), num_classes=CLASSES, seed=0)
    return Classifier(backbone, head, find_units(backbone, image_size=SIZE), 0).to(device)


def train(
    name: str, options: argparse.Namespace, *, kind: AugmentKind = AugmentKind.none, compiled: bool = False
) -> FitReport:
    """Return what so many steps in half precision took."""
    device = choose_device(options.device)
    count = 2 * options.batch
    batches = ImageBatches(
        bank(count), np.arange(count), batch_size=options.batch, seed=0, augment=build_augment(kind), mean=MEAN,
        std=STD, device=device, channels_last=True, on_host=kind in IMAGE_BY_IMAGE,
    )  # fmt: skip
    plan = FitPlan(
        steps=options.steps, num_classes=CLASSES, seed=0, optimizer=Optimizer.adamw, lr=1e-4, weight_decay=0.05,
        momentum=0.9, layer_decay=None, schedule=Schedule.cosine, warmup=0.1, clip_norm=1.0, label_smoothing=0.0,
        mixup=0.0, cutmix=0.0, autocast=torch.bfloat16, compile=compiled, channels_last=True,
    )  # fmt: skip
    return fit(network(name, device), batches, plan, fit_id="bench", listener=Listener(), checkpoint=None)


def waits(options: argparse.Namespace) -> None:
    for kind in (AugmentKind.light, AugmentKind.none, AugmentKind.randaug):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if options.device != "cpu":
                torch.cuda.set_sync_debug_mode("warn")
            report = train("resnet50", options, kind=kind)
        if options.device != "cpu":
            torch.cuda.set_sync_debug_mode("default")
        places = Counter(f"{each.filename}:{each.lineno}" for each in told if "synchroniz" in str(each.message))
        pace = f"{report.images_per_second:,.0f} images a second"
        print(f"augment={kind}: {pace}, waited {sum(places.values())} times in {report.steps} steps")
        for place, count in places.most_common(5):
            print(f"  {count} x {place}", flush=True)


def product_flops(device: torch.device) -> float:
    """Return the operations a second of a product of large matrices in half precision."""
    side = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: left @ right) for _ in range(5))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def flops(options: argparse.Namespace) -> None:
    reached = product_flops(choose_device(options.device))
    print(f"a product of large matrices: {reached / 1e12:.1f} TFLOP/s")
    for name, compiled in itertools.product(("resnet50", "vit_small_patch16_224"), (False, True)):
        if compiled and options.device == "cpu":
            continue
        report = train(name, options, compiled=compiled)
        pace, memory = report.images_per_second, (report.peak_bytes or 0) / 2**30
        made = (report.flops or 0) / (report.steps * options.batch) * pace
        kind = "compiled" if compiled else "as it is"
        told = f"{made / 1e12:.1f} TFLOP/s, {made / reached:.2f} of the product"
        print(f"{name}, {kind}: {pace:,.0f} images a second, {told}, peak {memory:.1f} GiB", flush=True)


def frozen(options: argparse.Namespace) -> None:
    device, count = choose_device(options.device), 8 * options.batch if options.device == "cpu" else 8192
    size, images = (32 if device.type == "cpu" else 256), bank(count)
    classifier = network("resnet50", device).to(memory_format=torch.channels_last).eval()
    dtype = None if device.type == "cpu" else torch.bfloat16
    batch = torch.randn(size, 3, SIZE, SIZE).to(device, memory_format=torch.channels_last)

    def bare() -> None:
        with torch.no_grad(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            for _ in range(count // size):
                classifier.backbone(batch)

    def ours() -> None:
        fed = chunks(images, np.arange(count), mean=MEAN, std=STD, device=device, channels_last=True, size=size)
        compute_rows(classifier, (chunk for chunk, _ in fed), autocast=dtype)

    for _ in range(2):  # the first warms up
        alone, fed = seconds(bare), seconds(ours)
    print(f"bare {count / alone:,.0f} images a second, ours {count / fed:,.0f}: {alone / fed:.2f}", flush=True)


def photograph(width: int, height: int, seed: int) -> bytes:
    """Return a JPEG that is as hard to decode as a photograph: noise of all scales, colours at half resolution."""
    generator, pixels = np.random.default_rng(seed), np.zeros((height, width, 3))
    for scale in (1, 2, 4, 8, 16, 32, 64):
        noise = generator.integers(0, 256, (height // scale + 1, width // scale + 1, 3), dtype=np.uint8)
        pixels += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)) * scale**0.5
    file = io.BytesIO()
    pixels = (pixels - pixels.mean()) / pixels.std() * 50 + 128
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


@dataclass(frozen=True)
class Jpegs:
    """Files in memory, each decoded when it is read; or images that are decoded already."""

    files: list[bytes]
    asked: Decoding | None = None

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(len(self.files), np.int64)

    @property
    def names(self) -> list[str]:
        return [str(place) for place in range(len(self.files))]

    def digest(self, index: int) -> bytes:
        return index.to_bytes(32, "little")

    def read(self, index: int) -> Image.Image:
        return (
            decoded(self.files[index])
            if self.asked is None
            else decode(io.BytesIO(self.files[index]), self.asked).image
        )


@functools.cache
def decoded(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


def decoders(options: argparse.Namespace) -> None:
    device = choose_device(options.device)
    expected = Preprocessing(image_size=SIZE, interpolation="bicubic", crop_pct=0.875, mean=MEAN, std=STD)
    print(f"| size | way | images a second | processor ms an image | pixels change by | at most |\n{'|---' * 6}|")
    for width, height, count in ((500, 375, 16 * options.batch), (4000, 3000, options.batch)):
        drawn = [photograph(width, height, seed) for seed in range(min(4, count))]
        files = list(itertools.islice(itertools.cycle(drawn), count))
        ways: dict[str, Callable[[], torch.Tensor]] = {}
        for decoder in Decoder:
            asked = Decoding.of(decoder, expected, max_pixels=10**9, bits=None)
            ways[str(decoder)] = functools.partial(banked, Jpegs(files, asked), expected)
        ways["resized alone"] = functools.partial(banked, Jpegs(files), expected)
        ways["torchvision alone"] = functools.partial(on_device, files, device, None)
        ways["torchvision, resized there"] = functools.partial(on_device, files, device, expected)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(1 + TURNS):  # the first warms up
            made = {name: clocked(way, taken[name]) for name, way in ways.items()}
        for name, pixels in made.items():
            wall, worked = (statistics.median(clock) for clock in zip(*taken[name][1:], strict=True))
            pace = f"{count / wall:,.0f} | {1000 * worked / count:.2f}"
            told = " | "
            if pixels.shape == made["exact"].shape:
                change = (pixels.float() - made["exact"].float()).abs()
                told = f"{change.mean():.3f} | {change.max():.0f}"
            print(f"| {width} x {height} | {name} | {pace} | {told} |", flush=True)
    print(f"medians of {TURNS} turns")


def clocked(way: Callable[[], torch.Tensor], taken: list[tuple[float, float]]) -> torch.Tensor:
    """Return what is made, and note the seconds of the wall and of the processor."""
    worked, began = time.process_time(), time.perf_counter()
    made = way()
    taken.append((time.perf_counter() - began, time.process_time() - worked))
    return made


def banked(images: Jpegs, expected: Preprocessing) -> torch.Tensor:
    """Return what a run's bank holds of images, (n, 3, S, S) uint8."""
    places = np.arange(len(images.files))
    return load_bank(images, places, expected, memory_bytes=1 << 34, progress=lambda done, count: None).pixels


def on_device(files: list[bytes], device: torch.device, expected: Preprocessing | None) -> torch.Tensor:
    """Return images decoded 64 at once, and resized where it is said how, on the CPU: (n, 3, S, S) uint8, else (1, 1).

    nvJPEG writes without waiting for what its stream has still to do (meta-pytorch/torchcodec#1634), into memory that
    others read until then: so it has a stream of its own, whose freed memory nobody else is given, and that is drained.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    made = []
    for start in range(0, len(files), 64):
        encoded = [torch.frombuffer(bytearray(file), dtype=torch.uint8) for file in files[start : start + 64]]
        with torch.cuda.stream(stream), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated for TorchCodec
            if stream is not None:
                stream.synchronize()
            images = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
            if expected is not None:
                made.append(torch.stack([timm_transform(expected)(image) for image in images]).cpu())
            if stream is not None:
                stream.synchronize()
    return torch.cat(made) if made else torch.zeros(1, 1)


def photos(options: argparse.Namespace) -> None:
    drawn = [photograph(500, 375, seed) for seed in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        for place in range(20 + 32 * options.batch):
            made = Path(folder) / f"class{place % 2}" / f"{place}.jpg"
            made.parent.mkdir(exist_ok=True)
            made.write_bytes(drawn[place % 4] + place.to_bytes(4, "little"))  # else they would be copies of each other
        words = ["backbone=timm", "backbone.name=resnet50", "backbone.pretrained=false", f"backbone.image_size={SIZE}"]
        place = [f"--photos={folder}", f"--device={options.device}", "--turns=3"]
        command(str(HERE / "bench_pipeline.py"), *place, "--words", *words)


def heads(options: argparse.Namespace) -> None:
    command(str(HERE / "bench_heads.py"), "sgd", f"--device={options.device}", "--repeats=3")


def growth(options: argparse.Namespace) -> None:
    held = []
    for seed in range(10):
        words = ["backbone=resnet18", "backbone.pretrained=false", "freeze=none", f"seed={seed}", "labels=5"]
        words += ["train.limit_steps=3", "tune.validate=false", f"train.device={options.device}", *SHORT]
        words += FEW if options.device == "cpu" else []
        with tempfile.TemporaryDirectory() as folder:
            run(load(words).config, folder=Path(folder), listener=Listener(), session=process_session())
        held.append(torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0)
    print("bytes held after each of ten runs:", ", ".join(f"{each:,}" for each in held), flush=True)


def whole(options: argparse.Namespace) -> None:
    for name in ("freeze_vs_labels", "backbones"):
        command("-m", "tlexp", f"study={name}", f"train.device={options.device}")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    part.__name__: part
    for part in (tests, default, cuts, study, waits, flops, frozen, decoders, photos, heads, growth, whole)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all but the last")
    parser.add_argument("--device", default="cuda", help="cpu only shows that the parts run")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    settle_process()
    device = choose_device(options.device, setting="--device")
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}, {os.cpu_count()} cores")
    for name in options.parts or [name for name in PARTS if name != "whole"]:
        print(f"\n== {name}", flush=True)
        try:
            PARTS[name](options)
        except Exception as error:  # noqa: BLE001 - the device is lent for minutes: the others have their turn
            print(f"FAILED: {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
