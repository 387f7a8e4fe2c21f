"""The fingerprint of a classifier: everything that its logits are computed from."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from nversion.core import fingerprint
from nversion.core.code import is_users
from nversion.core.values import Walk, parts_of

from .preprocessing import Preprocessing

# Attributes of every module that no forward or backward pass reads, or that this walk reads by itself.
_SKIPPED = {
    *("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_compiled_call_impl"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks"),
    *("_load_state_dict_post_hooks", "_is_full_backward_hook"),
}
_PARTS = ("_parameters", "_buffers", "_modules")
_HOOKS = re.compile(r"_(forward|backward)(_pre)?_hooks(_\w+)?")
_CARDS = ("pretrained_cfg", "default_cfg")  # timm's notes on where weights come from
_MANGLED = re.compile(r"_+torch_mangle_\d+\.|\s*#.*$", re.MULTILINE)


def fingerprint_of(
    module: nn.Module, preprocessing: Preprocessing, code: str = "", outputs: str = "logits"
) -> str:
    """The fingerprint of all that determines the logits of an image.

    The preprocessing as it is applied, and whatever can be reached from the module: parameters and
    buffers, persistent or not, with dtype, shape and bytes; tensors in attributes, in containers, in
    packed and scripted parameters; plain attributes; hooks; functions in attributes (also a replaced
    `forward`) with what their closures hold. Classes and functions of the user's count by their code (see
    `code_fingerprint`), those of installed packages by name, so that a library of another version alone
    changes nothing unless it keeps other attributes.

    A device, a memory format and whether gradients are required are no part of it.

    Args:
        module: as it was built, before it runs: a run may leave traces in it.
        preprocessing: `crop_pct`, which is recorded only, is left out.
        code: fingerprint of the user's code that built the module and of its arguments.
        outputs: what the module gives: "logits" or "probabilities".
    """
    applied = preprocessing.to_dict()
    del applied["crop_pct"]
    return fingerprint([Walk()(module), applied, code, outputs])


def is_lazy(tensor: Tensor) -> bool:
    """Whether a tensor of a lazy layer has no shape yet."""
    return isinstance(tensor, UninitializedParameter | UninitializedBuffer)


@parts_of.register(nn.Module)
def _module(module: nn.Module, walk: Walk) -> object:
    if isinstance(module, torch.jit.ScriptModule):
        return ["scripted", *_scripted(module, walk)]
    inner = getattr(module, "_orig_mod", None)
    if isinstance(inner, nn.Module) and type(module).__module__.startswith("torch._dynamo"):
        return ["compiled", walk(inner)]  # what it is compiled to rounds otherwise, no more
    attributes = vars(module)
    if isinstance(module, torch.fx.GraphModule):
        # Its graph is its code; what else it holds describes how it was traced.
        held: dict[str, object] = {
            key: value
            for key, value in attributes.items()
            if isinstance(value, Tensor | bool | int | float | str) and key != "_code"
        }
        held["code"] = module.code
    else:
        held = {k: v for k, v in attributes.items() if k not in _SKIPPED and not _HOOKS.fullmatch(k)}
        if type(module).__module__.startswith("timm."):
            held = {k: v for k, v in held.items() if k not in _CARDS}
    # Keys of hooks are handed out by a counter of the process: their order is all that counts.
    held |= {k: list(v.values()) for k, v in attributes.items() if _HOOKS.fullmatch(k) and v}
    held |= {f"in {k}": attributes[k] for k in _PARTS if attributes[k]}
    # Parts run in the order in which they were added, which the walk over a mapping leaves out.
    held |= {f"order of {k}": list(attributes[k]) for k in _PARTS if len(attributes[k]) > 1}
    held |= {"in class": replaced} if (replaced := _replaced(type(module))) else {}
    held |= {"in state": state} if (state := _extra_state(module)) else {}
    return ["module", walk(type(module)), walk(held)]


def _replaced(kind: type) -> dict[str, object]:
    """Functions of the user's in a class of an installed package: someone exchanged them."""
    if is_users(kind):
        return {}
    own = kind.__module__
    held = vars(kind).items()
    return {k: v for k, v in held if getattr(v, "__module__", own) != own and callable(v) and is_users(v)}


def _extra_state(module: nn.Module) -> dict[str, object]:
    """What a module's own `state_dict` holds besides parameters and buffers, such as packed weights."""
    kind = type(module)
    state: dict[str, object] = {}
    if kind.get_extra_state is not nn.Module.get_extra_state:
        state["extra"] = module.get_extra_state()
    if kind._save_to_state_dict is not nn.Module._save_to_state_dict:
        saved: dict[str, Any] = {}
        module._save_to_state_dict(saved, "", keep_vars=True)
        known = module._parameters.keys() | module._buffers.keys()
        state |= {key: value for key, value in saved.items() if key not in known}
    return state


@parts_of.register(Tensor)
def _tensor(tensor: Tensor, walk: Walk) -> object:
    facts: list[object] = ["tensor", str(tensor.dtype), str(tensor.layout)]
    if is_lazy(tensor):
        return [*facts, "not initialised"]
    tensor = tensor.detach()
    if hasattr(tensor, "__tensor_flatten__"):  # a subclass that is made of other tensors
        names, context = tensor.__tensor_flatten__()
        return [*facts, walk(type(tensor)), walk([getattr(tensor, n) for n in names]), walk(context)]
    facts.append(list(tensor.shape) if not tensor.is_nested else "nested")
    if tensor.is_nested:
        return [*facts, walk(list(tensor.unbind()))]
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce()
        return [*facts, walk(tensor.indices()), walk(tensor.values())]
    if tensor.layout is not torch.strided:
        return [*facts, walk(tensor.to_dense())]
    if tensor.is_meta:
        return [*facts, "meta"]
    if tensor.is_quantized:
        return [*facts, *_scales(tensor, walk), walk(tensor.int_repr())]
    # As bytes, because NumPy has no bfloat16.
    flat = tensor.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return [*facts, flat.view(torch.uint8).numpy()]


def _scales(tensor: Tensor, walk: Walk) -> list[object]:
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return [tensor.q_scale(), tensor.q_zero_point()]
    per_channel = (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
    return [*map(walk, per_channel), tensor.q_per_channel_axis()]


@parts_of.register(torch.ScriptObject)
def _packed(value: Any, walk: Walk) -> object:
    """Weights that a quantised layer keeps in a form of its kernels' own."""
    state = value.__getstate__() if hasattr(value, "__getstate__") else None
    return ["packed", str(value._type()), walk(state)]


@parts_of.register(torch.Generator)
def _generator(value: torch.Generator, walk: Walk) -> object:
    return ["generator", walk(value.get_state())]


@parts_of.register(torch.device)
def _device(_: torch.device, __: Walk) -> object:
    return ["device"]


@parts_of.register(torch.dtype)
@parts_of.register(torch.layout)
@parts_of.register(torch.memory_format)
@parts_of.register(torch.qscheme)
@parts_of.register(torch._ops.OpOverload)
@parts_of.register(torch._ops.OpOverloadPacket)
def _named(value: Any, _: Walk) -> object:
    return ["torch", str(value)]


def _scripted(module: torch.jit.ScriptModule, walk: Walk) -> list[object]:
    """The graph of a TorchScript module, its constants, and every attribute that it reads."""
    graph = module.inlined_graph
    values: dict[str, Any] = {next(graph.inputs()).debugName(): module._c}
    found: list[object] = [_MANGLED.sub("", str(graph))]

    def read(block: Any) -> None:
        for node in block.nodes():
            if node.kind() == "prim::GetAttr":
                owner = values.get(next(node.inputs()).debugName())
                if owner is not None:
                    value = owner.getattr(node.s("name"))
                    values[node.output().debugName()] = value
                    if not isinstance(value, torch._C.ScriptModule):
                        found.append(walk(value))
            elif node.kind() == "prim::Constant" and node.hasAttribute("value"):
                if node.kindOf("value") == "t":  # printed as <Tensor>
                    found.append(walk(node.t("value")))
                elif node.kindOf("value") == "ival" and isinstance(
                    constant := node.output().toIValue(), list
                ):
                    found.append(walk(constant))
            for inner in node.blocks():
                read(inner)

    read(graph)
    return found
