"""Prints the house that the imports build: its rooms by floor, the arrows between them, and those that lead back up.

Use: python tools/layers.py [ROOM ...]; without any, the package, `compare` and `training`.
"""

import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter

import grimp

PACKAGE = "steepest"
ROOMS = [PACKAGE, f"{PACKAGE}.compare", f"{PACKAGE}.training"]


def main(rooms: list[str]) -> int:
    graph = grimp.build_graph(PACKAGE)
    return max([_show(graph, room) for room in rooms or ROOMS])


def _show(graph: grimp.ImportGraph, parent: str) -> int:
    """One floor plan; returns 1 if the rooms have no order."""
    imports = _imports_between(graph, parent)
    arrows = sum(map(len, imports.values()))
    loose = [room for room in imports if not graph.find_children(f"{parent}.{room}")]
    try:
        order = list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        print(f"{parent}: a circle, {' -> '.join(reversed(error.args[1]))}")
        return 1
    floor: dict[str, int] = {}
    for room in order:
        floor[room] = 1 + max((floor[below] for below in imports[room]), default=-1)
    floors = defaultdict(list)
    for room, number in floor.items():
        floors[number].append(room)
    print(
        f"{parent}: {len(imports)} rooms, {len(floors)} floors, {arrows} arrows, 0 back up; {len(loose)} loose modules"
    )
    for number in sorted(floors, reverse=True):
        print(f"  {number:2} {'  '.join(sorted(floors[number]))}")
    return 0


def _imports_between(graph: grimp.ImportGraph, parent: str) -> dict[str, set[str]]:
    """Which of a package's children import which, whatever lies within them."""
    found: dict[str, set[str]] = {child.removeprefix(f"{parent}."): set() for child in graph.find_children(parent)}
    for module in graph.find_descendants(parent):
        room = module.removeprefix(f"{parent}.").partition(".")[0]
        for imported in graph.find_modules_directly_imported_by(module):
            other = imported.removeprefix(f"{parent}.").partition(".")[0]
            if imported.startswith(f"{parent}.") and other != room:
                found[room].add(other)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
