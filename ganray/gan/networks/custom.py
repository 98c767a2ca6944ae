"""Networks of your own, from any module that can be imported.

A generator is a callable `(shape, latent_dim, **g_options)` that gives a module from latents
[B, latent_dim] to samples [B, *shape]. A discriminator is a callable `(shape, **d_options)` that
gives a module from samples to logits [B], or, with an int attribute `features`, to features
[B, features], which projection, acgan, sgan and autoencoders need. Both are tried when built.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganray.errors import NetworkError
from ganray.gan.networks.layers import Architecture, Shape, evaluating
from ganray.gan.networks.players import feature_count

TRIED = 2  # samples in a trial run: with one alone, [1] and [1, 1] would pass for each other


@dataclass(frozen=True)
class CustomOptions:
    """Where the networks are, as `package.module:name`, and what they are called with."""

    generator: str
    discriminator: str
    g_options: Mapping[str, Any] = field(default_factory=dict)
    d_options: Mapping[str, Any] = field(default_factory=dict)


def generator(shape: Shape, latent_dim: int, options: CustomOptions) -> nn.Module:
    """Find, build and try the generator.

    Raises:
        NetworkError: it cannot be found or called, or does not give samples of the shape.
    """
    where = f"networks.generator: {options.generator}"
    module = _built(where, options.generator, (shape, latent_dim), options.g_options)
    _try(where, module, (latent_dim,), shape)
    return module


def trunk(shape: Shape, options: CustomOptions) -> nn.Module:
    """Find, build and try the discriminator.

    Raises:
        NetworkError: it cannot be found or called, or gives neither logits nor its features.
    """
    where = f"networks.discriminator: {options.discriminator}"
    module = _built(where, options.discriminator, (shape,), options.d_options)
    features = feature_count(module)
    _try(where, module, shape, () if features is None else (features,))
    return module


def _built(
    where: str, path: str, arguments: tuple[object, ...], options: Mapping[str, Any]
) -> nn.Module:
    make = find_callable(where, path)
    _check_signature(where, make, arguments, options)
    with _told(where, "cannot be built"):
        module = make(*arguments, **options)
    if not isinstance(module, nn.Module):
        raise NetworkError(f"{where}: gives {type(module).__name__}; a torch.nn.Module is needed")
    return module


def find_callable(where: str, path: str) -> Callable[..., Any]:
    """What `package.module:name` names; the working folder is searched, too.

    Args:
        where: which part of a sweep file names it, for the message.
        path: its name.

    Raises:
        NetworkError: there is no such thing, or importing it fails.
    """
    name, colon, attribute = path.partition(":")
    if not (name and colon and attribute):
        raise NetworkError(f"{where}: not of the form package.module:name")
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())  # as `python -m` does; it stays for later imports
    with _told(where, f"cannot import {name}"):
        module = importlib.import_module(name)
    found = getattr(module, attribute, None)
    if found is None:
        raise NetworkError(f"{where}: {name} has no {attribute!r}")
    if not callable(found):
        raise NetworkError(f"{where}: is {type(found).__name__}; a callable is needed")
    return found  # type: ignore[no-any-return]  # whatever it is: it was found callable


def _check_signature(
    where: str, make: Callable[..., Any], arguments: tuple[object, ...], options: Mapping[str, Any]
) -> None:
    try:
        signature = inspect.signature(make)
    except ValueError:
        return  # compiled code may have none
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        needed = ["shape", "latent_dim"][: len(arguments)] + [f"{key}=..." for key in options]
        raise NetworkError(
            f"{where}: takes {signature}, but is called with ({', '.join(needed)}): {error}"
        ) from None


def _try(where: str, module: nn.Module, inputs: Shape, outputs: Shape) -> None:
    """Run a module once, leaving its modes and running means as they were; check the shape."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(TRIED, *inputs, generator=rng)
    failing = _told(where, f"fails on inputs of shape {tuple(x.shape)}")
    with torch.no_grad(), evaluating(module), failing:
        found = module(x)
    wanted = (TRIED, *outputs)
    if not isinstance(found, Tensor) or found.shape != wanted:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise NetworkError(
            f"{where}: gives {got} for inputs of shape {tuple(x.shape)}; {wanted} is needed"
        )


@contextmanager
def _told(where: str, what: str) -> Iterator[None]:
    """Turn whatever foreign code raises into an error that says where it came from."""
    try:
        yield
    except Exception as error:
        raise NetworkError(f"{where}: {what}: {type(error).__name__}: {error}") from error


CUSTOM = Architecture(CustomOptions, generator, trunk)
