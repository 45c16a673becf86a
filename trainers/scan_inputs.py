"""Each scan of a generation batch once: read once and encoded once, however many copies of its question there are.

GRPO asks every question several times. TRL calls the processor for each copy, twice, and each copy goes through the
vision tower whenever the model runs. Here `pixel_values` hold numbers of scans instead of voxels, int64 (N,), one for
each image of the batch: `NumberedScans` gives them in place of the image processor, TRL shuffles, splits and buffers
them like any tensor with one row an image, and `numbers_for_volumes` makes a model take them. All of a model's volumes
go through its `get_image_features`; there numbers become the features of their scans, the bridge runs once for each
scan, and its tokens are repeated by index.

Where features come from is the tower's part:

    FrozenTower      encoded one by one, kept on the CPU up to a bound for the steps to come; encoded scans as they are
    TrainedTower     encoded with gradient once between two steps of the optimizer
    ReferenceTower   of a reference model with a tower of its own: encoded once for each generation batch
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch


class NumberedScans:
    """The scans of one generation batch, in the order in which they were first met.

    Called like the image processor whose place it takes: the scans of a call in, their numbers out as `pixel_values`
    (N,), int64. Nothing is read until it is asked for.

    Args:
        image_processor: reads the scans.
        sources: scans whose numbers are known from before, for a batch that was stored.
    """

    def __init__(self, image_processor: Callable, sources: Sequence[Any] = ()):
        self.sources: list[Any] = []
        self.features: dict[int, torch.Tensor] = {}
        """Number -> (L, C), as `FrozenTower` has encoded it."""
        self._image_processor = image_processor
        self._numbers: dict[Any, int] = {}
        self._volumes: torch.Tensor | None = None
        for source in sources:
            self._number(source)

    def __call__(self, images: Sequence[Any], **kwargs) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.tensor([self._number(source) for source in images])}

    def __len__(self) -> int:
        return len(self.sources)

    def _number(self, source: Any) -> int:
        key = source if isinstance(source, str) else id(source)
        if key not in self._numbers:
            self._numbers[key] = len(self.sources)
            self.sources.append(source)
        return self._numbers[key]

    def read(self, number: int) -> torch.Tensor:
        """(1, D, H, W), or (L, C) where the scan was encoded before."""
        return self._image_processor([self.sources[number]], return_tensors="pt")["pixel_values"][0]

    def volumes(self) -> torch.Tensor:
        """All scans, (U, 1, D, H, W), kept from the first call on.

        Raises:
            ValueError: a scan is encoded: its vision tower cannot be trained any more.
        """
        if self._volumes is None:
            read = [self.read(number) for number in range(len(self))]
            for source, tensor in zip(self.sources, read, strict=True):
                if tensor.ndim != 4:
                    raise ValueError(
                        f"the vision tower trains, so `images` must hold scans; {source} is encoded already. "
                        "Give the scans, or leave vision_tower out of `train`"
                    )
            self._volumes = torch.stack(read)
        return self._volumes


class Tower(Protocol):
    """Numbers of scans -> their features (n, L, C), on the model's device."""

    def __call__(self, scans: NumberedScans, numbers: Sequence[int]) -> torch.Tensor: ...


@contextmanager
def numbers_for_volumes(model: Any, scans: NumberedScans, tower: Tower) -> Iterator[None]:
    """Within this context `model`, a Med3DR1Model, also takes numbers of scans as `pixel_values`."""
    get_image_features = model.get_image_features

    def of_numbers(pixel_values: torch.Tensor, **kwargs):
        if pixel_values.is_floating_point():
            return get_image_features(pixel_values, **kwargs)
        numbers, index = pixel_values.unique(return_inverse=True)
        found = get_image_features(tower(scans, numbers.tolist()), **kwargs)
        return type(found)(pooler_output=found.pooler_output[index])

    model.get_image_features = of_numbers
    try:
        yield
    finally:
        del model.get_image_features  # that of the class comes forth again


def _encode(model: Any, volumes: torch.Tensor) -> torch.Tensor:
    """(N, 1, D, H, W) -> (N, L, C), with gradient where it is enabled."""
    return model.encode_volumes(volumes.to(model.device))


class FrozenTower:
    """Features from a vision tower that does not change.

    Scans go through it one by one, so that a scan's features do not depend on its company, to the last bit: a run that
    resumes with an empty cache goes on as if it had never stopped.

    Args:
        model: Med3DR1Model.
        cache_bytes: features up to this size are kept for later batches, those that were needed last.
        context: in which to encode: autocast.
        sharded: the weights are divided over processes, which would have to encode equally often.
    """

    def __init__(self, model: Any, cache_bytes: float, context: Callable, sharded: bool = False):
        self._model, self._context, self._sharded = model, context, sharded
        self._room = cache_bytes
        self._cache: OrderedDict[str, torch.Tensor] = OrderedDict()

    def __call__(self, scans: NumberedScans, numbers: Sequence[int]) -> torch.Tensor:
        for number in numbers:
            if number not in scans.features:
                scans.features[number] = self._one(scans, number).to(self._model.device)
        return torch.stack([scans.features[number] for number in numbers])

    def _one(self, scans: NumberedScans, number: int) -> torch.Tensor:
        source = scans.sources[number]
        if isinstance(source, str) and source in self._cache:
            self._cache.move_to_end(source)
            return self._cache[source]
        tensor = scans.read(number)
        if tensor.ndim == 2:  # encoded before: nothing to do, and nothing that a cache would save
            return tensor
        if self._sharded:
            raise ValueError(
                "a frozen vision tower whose weights are divided over processes does not encode: give encoded scans in "
                "`images` (med3d-r1 encode)"
            )
        tower = self._model.vision_tower
        training = tower.training
        tower.eval()
        with torch.no_grad(), self._context():
            features = _encode(self._model, tensor[None])[0]
        tower.train(training)
        if isinstance(source, str):
            self._keep(source, features.cpu())
        return features

    def _keep(self, source: str, features: torch.Tensor) -> None:
        while self._cache and features.nbytes > self._room:
            self._room += self._cache.popitem(last=False)[1].nbytes
        if features.nbytes <= self._room:
            self._cache[source] = features
            self._room -= features.nbytes


class TrainedTower:
    """Features from a vision tower that trains: with gradient, encoded once between two steps of the optimizer.

    Between two steps lie one or more batches whose gradients add up. All but the last of them get features without a
    history, and what each owes to the tower, the gradient by these features, is added up. The last batch encodes the
    scans of all of them with gradient, and its backward pass pays the debts: the same sum as if every copy of every
    scan had gone through the tower by itself.

    Args:
        model: Med3DR1Model.
        version: a number that changes with the weights: the trainer's step.
        is_last: whether the optimizer steps after the present batch.
        context: in which to encode without gradient: autocast.
    """

    def __init__(self, model: Any, version: Callable[[], int], is_last: Callable[[], bool], context: Callable):
        self._model, self._version, self._is_last, self._context = model, version, is_last, context
        self._known: tuple[NumberedScans | None, int, torch.Tensor | None] = (None, -1, None)
        self._debtor: torch.Tensor | None = None
        self._owing: set[int] = set()

    def __call__(self, scans: NumberedScans, numbers: Sequence[int]) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return self._without_history(scans)[numbers]
        if not self._is_last():
            if self._debtor is None:
                self._debtor = self._without_history(scans).detach().requires_grad_()
            self._owing.update(numbers)
            return self._debtor[numbers]
        rows = sorted(self._owing.union(numbers))
        features = _encode(self._model, scans.volumes()[rows])
        if self._debtor is not None:
            features = _Debt.apply(features, self._debtor.grad[rows])
        self._debtor, self._owing = None, set()
        return features[[rows.index(number) for number in numbers]]

    def _without_history(self, scans: NumberedScans) -> torch.Tensor:
        """(U, L, C): all scans by the present weights. All of them, so that processes that share one sharded model
        call it equally often."""
        of, version, features = self._known
        if of is not scans or version != self._version():
            with torch.no_grad(), self._context():
                features = _encode(self._model, scans.volumes())
            self._known = (scans, self._version(), features)
        return features


class _Debt(torch.autograd.Function):
    """The identity; in the backward pass a gradient from elsewhere is added."""

    @staticmethod
    def forward(ctx, features: torch.Tensor, owed: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(owed)
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient + ctx.saved_tensors[0].to(gradient.dtype), None


class ReferenceTower:
    """Features from the frozen tower of a reference model, beside a policy whose tower trains.

    Args:
        model: Med3DR1Model of the reference.
    """

    def __init__(self, model: Any):
        self._model = model
        self._known: tuple[NumberedScans | None, torch.Tensor | None] = (None, None)

    def __call__(self, scans: NumberedScans, numbers: Sequence[int]) -> torch.Tensor:
        if self._known[0] is not scans:
            self._known = (scans, _encode(self._model, scans.volumes()))
        return self._known[1][numbers]


__all__ = ["FrozenTower", "NumberedScans", "ReferenceTower", "Tower", "TrainedTower", "numbers_for_volumes"]
