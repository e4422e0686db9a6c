"""Adapters on a model hub: a repository of one adapter file and the model card that explains it.

The card is written from the adapter's header and the results that are given; nothing is measured
here. Logging in, caching and offline mode are those of huggingface_hub.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import yaml

from gendkit.errors import InvalidArgument, MissingAsset, UnwritableOutput
from gendkit.model.adapter import FILE, Adapter
from gendkit.model.kinds import WORDS, Kind
from gendkit.output import new_folder

Sections = Sequence[tuple[str, str]]
CARD = "README.md"
TASK = "image-classification"
TAGS: MappingProxyType[Kind, str] = MappingProxyType(
    {
        "layer-norms": "layer-norm-tuning", "bitfit": "bitfit", "lora": "lora",
        "full": "full-fine-tuning",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A result for the card.

    Attributes
    ----------
    data
        What was scored, in words; say so if its family took part in the selection.
    metric
        Its name, such as `auroc`, `eer` or `macro-ap`.
    value
        In the metric's own unit.
    low, high
        Ends of its interval, if there is one.
    """

    data: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None


def push(
    adapter: Adapter,
    repo: str,
    *,
    licence: str,
    results: Sequence[Measured] = (),
    sections: Sections = (),
    private: bool = True,
) -> str:
    """Upload an adapter with its card to a hub repository, which is made if it is not there.

    Parameters
    ----------
    adapter
        What is uploaded.
    repo
        `owner/name`.
    licence
        Of the adapter, as the hub names it: `apache-2.0`, `mit`, `other`. Mind that of the backbone
        and of the training data.
    results
        Shown on the card.
    sections
        More of the card; see `card`.
    private
        Whether a new repository is seen by its owner only.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    InvalidArgument
        If the licence is empty.
    UnwritableOutput
        If the hub cannot be reached, or does not let one write there.
    """
    from huggingface_hub import HfApi

    with TemporaryDirectory() as folder:
        write_repo(
            adapter, Path(folder) / "repo", name=repo, licence=licence, results=results,
            sections=sections,
        )  # fmt: skip
        api = HfApi()
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo,
                folder_path=Path(folder) / "repo",
                commit_message=f"Adapter {adapter.hash[:12]}",
            )
        except Exception as error:  # the errors of its HTTP library differ by version
            reason = (str(error).strip().splitlines() or [""])[0].rstrip(".")
            raise UnwritableOutput(
                f"{repo} cannot be written on the model hub ({type(error).__name__}: {reason}); "
                "log in with `hf auth login` to an account that may, or use write_repo for a "
                "folder."
            ) from error
    return str(done.commit_url)


def pull(repo: str, *, revision: str | None = None) -> Adapter:
    """Fetch an adapter from a hub repository; what is cached is not fetched again.

    Parameters
    ----------
    repo
        `owner/name`.
    revision
        Branch, tag or commit; a commit makes it repeatable.

    Raises
    ------
    MissingAsset
        If it is neither cached nor to be had.
    InvalidAdapter
        If the file is damaged or no adapter.
    """
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(repo, FILE, revision=revision)
    except Exception as error:  # the errors of its HTTP library differ by version
        at = f" at {revision}" if revision else ""
        raise MissingAsset(
            f"{FILE} of {repo}{at} is neither cached nor to be had from the model hub "
            f"({type(error).__name__}); check the name, that the hub can be reached, and with "
            "`hf auth login` that you may read it."
        ) from error
    return Adapter.read(path)


def write_repo(
    adapter: Adapter,
    folder: str | Path,
    *,
    name: str,
    licence: str,
    results: Sequence[Measured] = (),
    sections: Sections = (),
    overwrite: bool = False,
) -> Path:
    """Write what `push` uploads into a new folder, which `gk.load` reads.

    Raises
    ------
    InvalidArgument
        If the licence is empty.
    OutputExists, UnwritableOutput
        If the folder holds something else, or cannot be made.
    """
    text = card(adapter, name=name, licence=licence, results=results, sections=sections)
    with new_folder(folder, overwrite=overwrite, marker=FILE) as part:
        adapter.write(part / FILE)
        (part / CARD).write_text(text, encoding="utf-8")
    return Path(folder)


def card(
    adapter: Adapter,
    *,
    name: str,
    licence: str,
    results: Sequence[Measured] = (),
    sections: Sections = (),
) -> str:
    """Return the model card: Markdown with the hub's YAML in front.

    Parameters
    ----------
    sections
        Title and Markdown of what stands between the results and what the adapter belongs to, such
        as `gendkit.evaluate.card.Card.sections`.

    Raises
    ------
    InvalidArgument
        If the licence is empty.
    """
    if not licence.strip():
        raise InvalidArgument("the licence is empty; give that of the adapter, or 'other'.")
    header = adapter.header
    facts = {
        "kind": header.kind,
        "backbone": header.backbone,
        "backbone hash": header.backbone_hash,
        "base layer norms": header.norms_hash,
        "adapter hash": adapter.hash,
        "preprocessing": _line(asdict(header.preprocessing)),
        "face crops": _line(header.extraction) or "unknown",
        "compute dtype": header.dtype,
        "classes": ", ".join(f"{i} {c}" for i, c in enumerate(header.classes)),
        "gendkit": header.gendkit,
    }
    numbers = sum(t.numel() for t in (*adapter.tuned.values(), *adapter.head.values()))
    return _CARD.format(
        front=_yaml(_front(adapter, name=name, licence=licence, results=results)),
        name=name,
        backbone=header.backbone,
        words=WORDS[header.kind],
        numbers=f"{numbers:,}",
        facts=markdown_table(("", ""), list(facts.items())),
        results=_results(results),
        sections="".join(f"## {title}\n\n{text.rstrip()}\n\n" for title, text in sections),
        recipe=_yaml(_plain(header.recipe)) if header.recipe else "unknown\n",
    )


_CARD = """\
---
{front}---

# {name}

Tells face crops of real from those of manipulated videos: {numbers} numbers, {words}
`{backbone}` and a linear head, after
[GenD](https://arxiv.org/abs/2508.06248).

A score is the softmax output P(fake) with the training prior in it, not a calibrated probability,
and no proof. A file without a face is not examined, which is not the same as real.

## Use

```python
import gendkit as gk

detector = gk.load(gk.pull("{name}"))
detector.score("clip.mp4")
```

## Results

{results}
{sections}## What it belongs to

{facts}
## How it was made

```yaml
{recipe}```
"""


def _front(
    adapter: Adapter, *, name: str, licence: str, results: Sequence[Measured]
) -> dict[str, Any]:
    front: dict[str, Any] = {
        "license": licence,
        "library_name": "gendkit",
        "pipeline_tag": TASK,
        "tags": [
            "deepfake-detection",
            "gendkit",
            TAGS[adapter.header.kind],
            adapter.header.backbone,
        ],
    }
    if results:
        rows = [
            {
                "task": {"type": TASK},
                "dataset": {"name": r.data, "type": r.data},
                "metrics": [{"type": r.metric, "value": float(r.value)}],
            }
            for r in results
        ]
        front["model-index"] = [{"name": name, "results": rows}]
    return front


def _results(results: Sequence[Measured]) -> str:
    if not results:
        return "None were given when this card was written.\n"
    rows = []
    for r in results:
        known = r.low is not None and r.high is not None
        rows.append(
            (r.data, r.metric, f"{r.value:.4g}", f"{r.low:.4g}–{r.high:.4g}" if known else "")
        )
    return markdown_table(("data", "metric", "value", "interval"), rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table, one line a row; line breaks and bars of cells are taken out."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [[" ".join(str(c).replace("|", "\\|").split()) for c in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _line(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items())


def _plain(value: Any) -> Any:
    """Return what JSON makes of it: no tuples, no mappings but dicts."""
    return json.loads(json.dumps(value, default=dict))


def _yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
