"""What is exported is what is documented and typed."""

import importlib
import inspect

import pytest

PACKAGES = {"electra_common": None, "electra_pt": "torch", "electra_tf": "keras"}


def load(package):
    if PACKAGES[package] is not None:
        pytest.importorskip(PACKAGES[package])
    return importlib.import_module(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_all_lists_exactly_the_public_objects(package):
    module = load(package)
    for name in module.__all__:  # some are imported when they are first asked for
        getattr(module, name)
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value) and "electra" in getattr(value, "__module__", "")
    }
    assert public == set(module.__all__)
    assert module.__all__ == sorted(module.__all__)


def public_functions(value):
    """Yield a class's or function's own public functions, those of its electra base classes included."""
    if inspect.isfunction(value):
        yield value
        return
    for kind in value.__mro__:
        if kind.__module__.startswith("electra"):
            for name, member in vars(kind).items():
                member = member.__func__ if isinstance(member, classmethod) else member
                if inspect.isfunction(member) and not name.startswith("_"):
                    yield member


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented_and_typed(package):
    module = load(package)
    for name in module.__all__:
        value = getattr(module, name)
        assert inspect.getdoc(value), f"{package}.{name} has no docstring"
        for function in public_functions(value):
            if function.__name__ == "build":  # Keras's own name for making variables
                continue
            where = f"{package}.{name}.{function.__name__}"
            assert inspect.getdoc(function), f"{where} has no docstring"
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty, f"{where} has no return type"
            untyped = [
                key
                for key, parameter in signature.parameters.items()
                if parameter.annotation is inspect.Parameter.empty and key not in ("self", "cls")
            ]
            assert not untyped, f"{where}: {untyped} have no type"
