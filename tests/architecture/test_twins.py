"""electra_pt and electra_tf are twins: the same files, names and arguments, in the same order. Checked by source."""

import ast

import pytest

from support.fixtures import REPOSITORY

PT = REPOSITORY / "src" / "electra_pt"
TF = REPOSITORY / "src" / "electra_tf"

# What only one framework needs, with the reason.
ONLY_TF_FILES = {
    "fitting.py": "Keras fits, evaluates, predicts and exports by itself; torch users write the loop",
    "dropout_seeds.py": "Keras counts the draws of its dropouts; torch has one stream that a seed starts",
    "programs.py": "outside of graphs TensorFlow starts an operation for longer than it computes",
}
ONLY_PT_FILES = {
    "compiling.py": "torch compiles part by part; TensorFlow's step is compiled by one argument of tf.function",
    "cuda_graphs.py": "torch launches kernels one by one; a tf.function is one program already",
    "normalization.py": "torch's autocast gives LayerNorm float32; Keras's mixed precision does not",
    "sharding.py": "torch divides a model among processes; TensorFlow's strategies do not",
    "dropout.py": "torch draws dropout slowly on a CPU and in compiled programs; TensorFlow does not",
}
ONLY_TF_ARGUMENTS = {
    "training": "Keras passes the mode as an argument, torch keeps it in the module",
    "**options": "Keras layers take name and dtype when they are made",
}
# Files whose functions differ because the frameworks do: torch draws weights in place, Keras hands over initialisers;
# torch's processes wrap the model, TensorFlow's strategy runs the step.
DIFFERENT_INSIDE = {"initialization.py", "processes.py"}
# What Keras itself calls on a model or layer, and torch has no counterpart of.
KERAS_METHODS = {
    "build": "makes the variables; torch makes parameters in the constructor",
    "compute_loss": "called by fit and evaluate",
    "own_loss": "what they call where compile was given no loss; torch users call `loss.backward()`",
    "fit": "Keras's, which refuses what the joint loss has no use for; torch users write the loop",
    "evaluate": "likewise",
    "make_train_function": "called by fit before the first step",
    "make_test_function": "called by evaluate, likewise",
    "make_predict_function": "called by predict, likewise",
    "get_config": "what Keras stores of a model in a .keras file",
    "from_config": "makes it again; torch pickles or keeps a state_dict",
}
# What torch's users ask a model, and Keras answers otherwise.
TORCH_METHODS = {
    "device": "TensorFlow finds the device of an operation by itself, and has no batch moved to it",
    "dtype": "every Keras layer has one",
}
METHOD_NAMES = {"call": "forward", "update_step": "step"}  # Keras updates one variable at a time, torch all of them
# Where the frameworks keep things, by the function whose arguments differ for it.
DIFFERENT_ARGUMENTS = {
    "clip_by_global_norm": "torch keeps gradients with their parameters, TensorFlow hands them over",
    "ElectraAdam.__init__": "a torch optimizer is made for its parameters, Keras hands them over in every step",
    "ElectraAdam.step": "likewise",
}


def names(folder):
    return {file.name for file in folder.glob("*.py")}


FILES = sorted(names(PT) & names(TF) - DIFFERENT_INSIDE)


def test_both_families_have_the_same_files():
    assert names(TF) - names(PT) == set(ONLY_TF_FILES)
    assert names(PT) - names(TF) == set(ONLY_PT_FILES)


def arguments(function):
    spec = function.args
    plain = [item.arg for item in (*spec.posonlyargs, *spec.args)]
    named = [item.arg for item in spec.kwonlyargs]
    rest = [f"*{spec.vararg.arg}"] if spec.vararg else []
    rest += [f"**{spec.kwarg.arg}"] if spec.kwarg else []
    return [*plain, "*", *named, *rest]


def is_public(name):
    return not name.startswith("_") or name == "__init__"


def is_overload(function):
    return any(ast.unparse(item) == "overload" for item in function.decorator_list)


def outline(file):
    """Return [(class and function name, [argument names])] of the public names of a file, in order."""
    result = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef) and is_public(node.name):
            result.append((node.name, arguments(node)))
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            name = node.name.removeprefix("TF")
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and is_public(item.name)]
            result.append((name, []))
            result += [
                (f"{name}.{METHOD_NAMES.get(item.name, item.name)}", arguments(item))
                for item in methods
                if not is_overload(item) and item.name not in {*KERAS_METHODS, *TORCH_METHODS}
            ]
    return result


def without_framework_arguments(found):
    return [(name, [item for item in given if item not in ONLY_TF_ARGUMENTS]) for name, given in found]


def without_different_arguments(found):
    return [(name, [] if name in DIFFERENT_ARGUMENTS else given) for name, given in found]


@pytest.mark.parametrize("file", FILES)
def test_public_names_and_arguments_agree(file):
    ours, theirs = without_framework_arguments(outline(TF / file)), outline(PT / file)
    assert without_different_arguments(ours) == without_different_arguments(theirs)


def test_both_families_export_the_same_names():
    def exported(folder):
        tree = ast.parse((folder / "__init__.py").read_text())
        lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"]
        return sorted(name.removeprefix("TF") for name in ast.literal_eval(lists[0]))

    assert exported(PT) == exported(TF)


def test_the_outline_sees_what_it_should():
    """A guard for the guard: an outline that finds nothing would make every comparison pass."""
    found = dict(outline(PT / "modeling.py"))
    assert found["ElectraModel.forward"][:4] == ["self", "input_ids", "attention_mask", "token_type_ids"]
    assert "labels" in found["ElectraForMaskedLM.forward"]
