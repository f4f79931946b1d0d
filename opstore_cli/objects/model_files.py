"""The formats `safetensors`, `xgboost`, `lightgbm` and `onnx`: the files of these libraries, read by themselves.

They hold numbers and structure, and loading one runs no code of the file. None is a default format: the libraries have
objects that their own files change.
"""

from typing import Any, BinaryIO

from opstore_cli.objects.format import Format, Trusted, Unfit, type_name
from opstore_cli.objects.libraries import require


def _dump_safetensors(obj: Any, file: BinaryIO) -> set[str]:
    numpy, tensors = require("numpy", "safetensors", "the format safetensors"), _safetensors()
    if type(obj) is not dict or not all(type(name) is str for name in obj):
        raise Unfit(f"it is a {type_name(type(obj))}, not a dict with strings as keys")
    for name, array in obj.items():
        if type(array) not in (numpy.ndarray, numpy.memmap):
            raise Unfit(f"its [{name!r:.100}] is a {type_name(type(array))}, not an array of numpy")
        if not array.dtype.isnative or array.dtype.kind not in "biufc":
            raise Unfit(f"its [{name!r:.100}] has the dtype {array.dtype}, which safetensors does not have")
    # safetensors takes the memory of an array as it is, whatever its strides are.
    data = tensors.save({name: numpy.ascontiguousarray(array).reshape(array.shape) for name, array in obj.items()})
    for name, array in tensors.load(data).items():
        if array.dtype != obj[name].dtype:
            raise Unfit(f"its [{name!r:.100}] has the dtype {obj[name].dtype}, which safetensors does not have")
    file.write(data)
    return {"numpy", "safetensors"}


def _load_safetensors(file: BinaryIO, _trusted: Trusted) -> Any:
    return _safetensors().load(file.read())


def _safetensors() -> Any:
    return require("safetensors.numpy", "safetensors", "the format safetensors")


_XGBOOST_KINDS = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
_XGBOOST_KIND = "opstore_class"  # an attribute of the stored model


def _dump_xgboost(obj: Any, file: BinaryIO) -> set[str]:
    xgboost = _xgboost()
    kinds = {getattr(xgboost, name): name for name in _XGBOOST_KINDS if hasattr(xgboost, name)}
    if type(obj) is xgboost.Booster:
        file.write(obj.save_raw(raw_format="ubj"))
    elif type(obj) in kinds:
        booster = obj.get_booster()
        if booster.attr(_XGBOOST_KIND) != kinds[type(obj)]:
            booster = booster.copy()
            booster.set_attr(**{_XGBOOST_KIND: kinds[type(obj)]})
        file.write(booster.save_raw(raw_format="ubj"))
    else:
        raise Unfit(f"it is a {type_name(type(obj))}, not a Booster or one of {', '.join(_XGBOOST_KINDS)}")
    return {"xgboost"}


def _load_xgboost(file: BinaryIO, _trusted: Trusted) -> Any:
    xgboost, data = _xgboost(), bytearray(file.read())
    if not data.startswith(b"{L"):  # xgboost ends the process for some other bytes
        raise Unfit("it is not a UBJSON file of xgboost")
    booster = xgboost.Booster(model_file=data)
    kind = booster.attr(_XGBOOST_KIND)
    if kind is None:
        return booster
    if kind not in _XGBOOST_KINDS:
        raise Unfit(f"it is of the class {kind[:100]!r}")
    model = getattr(xgboost, kind)()
    model.load_model(data)
    return model


def _xgboost() -> Any:
    return require("xgboost", "xgboost", "the format xgboost")


def _dump_lightgbm(obj: Any, file: BinaryIO) -> set[str]:
    if type(obj) is not _lightgbm().Booster:
        raise Unfit(f"it is a {type_name(type(obj))}, not a Booster (of a fitted LGBMModel: model.booster_)")
    file.write(obj.model_to_string().encode())
    return {"lightgbm"}


def _load_lightgbm(file: BinaryIO, _trusted: Trusted) -> Any:
    text = file.read().decode()
    if not text.startswith("tree\n"):  # lightgbm ends the process for some other bytes
        raise Unfit("it is not a text file of lightgbm")
    return _lightgbm().Booster(model_str=text)


def _lightgbm() -> Any:
    return require("lightgbm", "lightgbm", "the format lightgbm")


def _dump_onnx(obj: Any, file: BinaryIO) -> set[str]:
    onnx = _onnx()
    if type(obj) is not onnx.ModelProto:
        raise Unfit(f"it is a {type_name(type(obj))}, not an onnx.ModelProto")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in obj.graph.initializer):
        raise Unfit("some of its tensors are in other files; onnx.load(path) with them loads a whole model")
    file.write(obj.SerializeToString(deterministic=True))
    return {"onnx"}


def _load_onnx(file: BinaryIO, _trusted: Trusted) -> Any:
    return _onnx().load_model_from_string(file.read())


def _onnx() -> Any:
    return require("onnx", "onnx", "the format onnx")


SAFETENSORS = Format(
    "safetensors",
    "a dict of arrays of numbers, which other frameworks read too; loaded as arrays of numpy",
    _dump_safetensors,
    _load_safetensors,
    library="safetensors",
    extra="safetensors",
)
XGBOOST = Format(
    "xgboost",
    "a Booster or a model of xgboost, as its UBJSON file",
    _dump_xgboost,
    _load_xgboost,
    library="xgboost",
    extra="xgboost",
)
LIGHTGBM = Format(
    "lightgbm",
    "a Booster of lightgbm, as its text file",
    _dump_lightgbm,
    _load_lightgbm,
    library="lightgbm",
    extra="lightgbm",
)
ONNX = Format("onnx", "an onnx.ModelProto", _dump_onnx, _load_onnx, library="onnx", extra="onnx")
