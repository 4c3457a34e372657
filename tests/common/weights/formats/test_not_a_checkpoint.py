"""Files that stand where weights should be: each is called by its name, with the remedy; weights never are."""

import gzip
import io
import lzma
import os
import tarfile
import zipfile

import numpy as np
import pytest

from electra_common.weights.formats.not_a_checkpoint import START_BYTES, describe_impostor
from support.fixtures import TESTS, TRANSFORMERS

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 54245363\n"
)
PAGE = b'<!DOCTYPE html>\n<html lang="en"><head><title>404</title></head><body>Not found</body></html>\n'


def zip_of(*names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return stream.getvalue()


def tar_of(mode):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("model.bin"), io.BytesIO())
    return stream.getvalue()


IMPOSTORS = {
    "a pointer": (POINTER, "a Git-LFS pointer for 54245363 bytes, not the file itself; run 'git lfs pull' in its "),
    "a pointer cut short": (POINTER[:50], "a Git-LFS pointer, not the file itself; run 'git lfs pull' in its folder"),
    "a pointer of the first release": (POINTER.replace(b"git-lfs.github", b"hawser.github"), "a Git-LFS pointer for"),
    "a page": (PAGE, "an HTML page, such as a server shows instead of a file; download it again"),
    "a page in capitals": (PAGE.upper(), "an HTML page"),
    "a page without a doctype": (b"\n\n  <html><body>", "an HTML page"),
    "a page after a byte order mark": (b"\xef\xbb\xbf" + PAGE, "an HTML page"),
    "a page of XHTML": (b'<?xml version="1.0"?><!DOCTYPE html><html>', "an HTML page"),
    "a long page": (PAGE + b"<p>\xc3\xa4</p>" * 1000, "an HTML page"),
    "a long page cut within a character": (PAGE.ljust(START_BYTES - 1) + b"\xc3\xa4", "an HTML page"),
    "an answer of a storage service": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML text"),
    "JSON": (b'{"error": "Repository not found"}', "JSON text, which holds no weights; give the file with the weights"),
    "a JSON list": (b' [{"a": 1}]', "JSON text"),
    "nothing": (b"", "an empty file; download it again"),
    "zeros": (bytes(9999), "nothing but zeros"),
    "text": (b"Entry not found", 'plain text ("Entry not found"); download it again'),
    "a long text": (b"Invalid username\nor password, or both of them", 'plain text ("Invalid username or password'),
    "blanks": (b" \n\t\n", "plain text (blank)"),
    "gzip": (gzip.compress(b"x"), "an archive (gzip); unpack it and give what is in it"),
    "xz": (lzma.compress(b"x"), "an archive (xz); unpack it"),
    "tar": (tar_of("w"), "an archive (tar); unpack it"),
    "tar.gz": (tar_of("w:gz"), "an archive (gzip); unpack it"),
    "tar.bz2": (tar_of("w:bz2"), "an archive (bzip2); unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "an archive (zstd); unpack it"),
    "a zip of a folder": (zip_of("small/checkpoint", "small/model.index"), "an archive (zip); unpack it"),
    "a zip of a Keras model": (zip_of("metadata.json", "config.json"), "an archive (zip)"),
    "an empty zip": (zip_of(), "an archive (zip)"),
}  # fmt: skip


@pytest.mark.parametrize("impostor", IMPOSTORS)
def test_what_is_no_checkpoint_is_called_by_its_name(impostor, tmp_path):
    content, message = IMPOSTORS[impostor]
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    found = describe_impostor(tmp_path / "pytorch_model.bin")
    assert found is not None
    assert found.startswith(message)
    assert "\n" not in found


def checkpoint_files():
    """Every file of weights that original programs wrote."""
    kinds = ("*.safetensors", "*.msgpack", "*.npz", "*.bin", "*.h5")
    folders = (TRANSFORMERS / "base-like", TESTS / "fixtures" / "flax-a")
    return sorted(file for folder in folders for kind in kinds for file in folder.rglob(kind))


@pytest.mark.parametrize("file", checkpoint_files(), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_weights_are_not_called_anything(file):
    assert describe_impostor(file) is None


@pytest.mark.parametrize(
    "content",
    [
        zip_of("archive/data.pkl", "archive/version"),
        zip_of("pytorch_model/data.pkl"),
        zip_of("archive/.format_version"),
        zip_of("weights.npy"),
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",  # how torch.save began before its archives
        b"\x89HDF\r\n\x1a\n" + bytes(500),
        bytes(7) + b"\x01",
        b"\x00",
        np.random.default_rng(0).bytes(5000),
        b"\xc3",
    ],
)
def test_what_nobody_knows_is_not_called_anything(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert describe_impostor(tmp_path / "file") is None


def test_what_is_no_file_is_not_described(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert describe_impostor(tmp_path) is None
    assert describe_impostor(tmp_path / "link") is None
    assert describe_impostor(tmp_path / "absent") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert describe_impostor(tmp_path / "pipe") is None


def test_random_starts_never_fail(tmp_path):
    generator = np.random.default_rng(0)
    magics = [
        b"",
        b"PK\x03\x04",
        b"<html",
        b"{",
        b"version https://git-lfs.github.com/spec/v1",
        b"\xef\xbb\xbf",
        b"<?xml",
    ]
    for case in range(300):
        content = magics[case % len(magics)] + generator.bytes(int(generator.integers(0, 60)))
        (tmp_path / "file").write_bytes(content)
        found = describe_impostor(tmp_path / "file")
        assert found is None or "\n" not in found
