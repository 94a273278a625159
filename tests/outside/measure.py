"""Measure models of other packages: python -m tests.outside.measure [KEY...].

Each runs in a process of its own, with a limit on its time and memory; what was measured is kept in
a file, and a run that was interrupted goes on where it stopped. At its end the table is printed.
"""

import argparse
import fnmatch
import multiprocessing
import os
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from tests.outside.record import Record, append_record, read_records
from tests.outside.table import markdown

_RESULTS = Path(__file__).resolve().parent / "results"
_HEADING = """# Models of other packages

What `plan` says of each, and what a run of the initialised model shows: `make outside` writes this.
A branch is closed if it adds exactly nothing to its start, small if it adds less than a tenth; what
ends one, and is small by default, is 0 in this run.
Where the start is 0 itself, a run with noise there decides.
"No gradient": parameters without one in eight steps of SGD; in brackets from the model's own start.

"""
_MOST_BYTES = 10 << 30
_MOST_PARAMETERS = 36e6


def main() -> int:
    """Measure what the command line asks for and has no record yet."""
    request = _request()
    path = request.results
    path.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.outside.imported"])
    known = {} if request.again else read_records(path)
    began = time.perf_counter()
    for key in request.keys:
        if key in known:
            continue
        if time.perf_counter() - began > request.minutes * 60:
            print(f"stopped before {key}", file=sys.stderr)
            break
        record = _measured(context, key, request)
        append_record(path, record)
        print(_line(record), file=sys.stderr, flush=True)
    records = read_records(path)
    table = markdown([records[key] for key in request.keys if key in records])
    print(table)
    if request.table:
        request.table.write_text(f"{_HEADING}{table}")
    return 0


def _request() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.outside.measure", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help="such as 'timm:vit*'; all if none")
    parser.add_argument("--results", type=Path, default=_RESULTS / "records.jsonl")
    parser.add_argument("--table", type=Path, help="write it into this file, too")
    parser.add_argument("--again", action="store_true", help="measure also what has a record")
    parser.add_argument("--minutes", type=float, default=240.0, help="begin no model after these")
    parser.add_argument("--seconds", type=float, default=240.0, help="the most for one model")
    parser.add_argument("--most-parameters", type=float, default=_MOST_PARAMETERS)
    request = parser.parse_args()
    from tests.outside.cases import keys

    known = keys()
    if request.keys:
        asked = [pattern if ":" in pattern else f"*:{pattern}" for pattern in request.keys]
        beyond = [each for each in asked if each.startswith("timm:") and "*" not in each]
        chosen = [key for each in asked for key in fnmatch.filter([*known, *beyond], each)]
        request.keys = list(dict.fromkeys(chosen))
        if not request.keys:
            parser.error("no model has such a key")
    else:
        request.keys = known
    return request


def _measured(
    context: multiprocessing.context.ForkServerContext, key: str, request: argparse.Namespace
) -> Record:
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(key, request.most_parameters, sender))
    child.start()
    sender.close()
    record = Record(key=key, problem="ended before it was planned")
    ends = time.monotonic() + request.seconds
    try:
        while receiver.poll(max(0.0, ends - time.monotonic())):
            record = receiver.recv()
        late = True
    except EOFError:
        late = False
    child.join(1 if late else 30)
    if child.is_alive():
        child.kill()
        child.join()
        return _with_problem(record, f"not done in {request.seconds:.0f} s")
    if child.exitcode:
        return _with_problem(record, f"ended with exit code {child.exitcode}")
    return record


def _with_problem(record: Record, problem: str) -> Record:
    return Record.from_json({**record.to_json(), "problem": problem})


def _child(key: str, most_parameters: float, sender: Connection) -> None:
    import warnings

    from tests.outside.cases import case
    from tests.outside.one_model import measure

    warnings.simplefilter("ignore")  # of other packages, about each other

    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # what constructors print is not the table
    sender.send(measure(case(key), most_parameters, sender.send))
    sender.close()


def _line(record: Record) -> str:
    state = record.problem or record.refused or ("" if record.whole else "not whole")
    found = f"{record.count('closed')}+{record.count('small')} of {record.branches}"
    return f"{record.key:50} {record.seconds:6.2f} s {found:>14}  {state[:100]}"


if __name__ == "__main__":
    sys.exit(main())
