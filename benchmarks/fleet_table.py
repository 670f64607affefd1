"""What benchmarks/fleet.py found, as a table for people."""

from __future__ import annotations

from typing import Any

PERIOD_S = 900
RUNS_A_DAY = 86400 // PERIOD_S
CORES = 10
"""For a thousand sites this is to be enough."""

NAMES = {"local": "LocalExecutor", "celery": "CeleryExecutor"}
_PARTS = {"tasks": "task processes", "supervisors": "their supervisors", "api": "API server"}


def table(found: dict[str, Any]) -> str:
    """Markdown: a column a size, then what was measured once."""
    sizes = found["sizes"]
    load = found["load"]
    lines = [
        f"{found['cores']} cores, load {min(load):.1f} to {max(load):.1f}; runs of {found['starts_per_run']} tasks",
        "",
        "| | " + " | ".join(f"{size} sites" for size in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    rows = {size: dict(_rows(size, one)) for size, one in sizes.items()}
    for name in dict.fromkeys(name for one in rows.values() for name in one):
        lines.append(f"| {name} | " + " | ".join(rows[size].get(name, "") for size in sizes) + " |")
    lines += _once(found)
    largest = max(sizes)
    if runs := sizes[largest].get("runs"):
        needed = {NAMES[executor]: cores(largest, sizes[largest], executor) for executor in runs}
        lines.append("")
        for how, count in needed.items():
            lines.append(
                f"{largest} sites every {PERIOD_S // 60} min, {how}: {count:.1f} cores; "
                f"{CORES} {'hold' if count <= CORES else 'do not hold'}."
            )
    return "\n".join(lines)


def cores(size: int, one: dict[str, Any], executor: str) -> float:
    """That so many sites keep busy with nothing but Airflow: all starts, reading DAG files, and being there."""
    runs = one["runs"][executor]
    starts = sum(runs["cpu_s_per_start"].values()) * runs["starts"] / runs["runs"]
    return float(starts * size / PERIOD_S + sum(runs["idle_cores"].values()) + reading_cores(one))


def reading_cores(one: dict[str, Any]) -> float:
    store = one["store"]
    return float((store["again_cpu_s"] + store["again_database_cpu_s"]) / store["interval_s"])


def _rows(size: int, one: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if reading := one.get("read"):
        shards = reading["shards"]
        rows += [
            ("sites.yaml, whole (CPU s)", f"{reading['config_all_cpu_s']:.2f}"),
            ("sites.yaml, one site of it, as a task (CPU s)", f"{reading['task']['config_one_cpu_s']:.3f}"),
            ("reading a DAG file, the largest of 8 (CPU s)", f"{max(one['parse_cpu_s'] for one in shards):.2f}"),
            ("the same, time on this machine (s)", f"{max(one['parse_wall_s'] for one in shards):.2f}"),
            ("reading all 8 (CPU s)", f"{sum(one['parse_cpu_s'] for one in shards):.2f}"),
            ("serialising all (CPU s)", f"{sum(one['serialise_cpu_s'] for one in shards):.2f}"),
            ("serialised, a DAG (KB)", f"{sum(one['bytes'] for one in shards) / size / 1000:.1f}"),
            ("DAGs that a task builds", str(reading["task"]["dags"])),
            ("a task's own reading, with its part of sites.yaml (CPU s)", f"{reading['task']['cpu_s']:.3f}"),
        ]
    if store := one.get("store"):
        rows += [
            ("DAG processor, all files once more (CPU s)", f"{store['again_cpu_s']:.1f}"),
            ("and the database for it (CPU s)", f"{store['again_database_cpu_s']:.1f}"),
            ("that, at its interval (cores)", f"{reading_cores(one):.3f}"),
            ("DAG versions, first and then", f"{store['first']['versions']}, {store['then']['versions']}"),
        ]
    for executor, runs in one.get("runs", {}).items():
        rows += _run_rows(executor, runs)
        if "store" in one:
            rows.append((f"{NAMES[executor]}: all of it, every 15 min (cores)", f"{cores(size, one, executor):.1f}"))
    for runs in list(one.get("runs", {}).values())[:1]:
        rows += _kept_rows(size, runs)
    return rows


def _run_rows(executor: str, runs: dict[str, Any]) -> list[tuple[str, str]]:
    each = runs["cpu_s_per_start"]
    start = f"{NAMES[executor]}, a task start:"
    rows = [(f"{start} {_PARTS.get(part, part)} (CPU s)", f"{each[part]:.3f}") for part in sorted(each)]
    return [
        *rows,
        (f"{start} all of it (CPU s)", f"{sum(each.values()):.2f}"),
        (f"{NAMES[executor]}: due run to running, p50, p95 (s)", ", ".join(str(one) for one in runs["run_lag_s"])),
        (f"{NAMES[executor]}: task to running, p50, p95 (s)", ", ".join(str(one) for one in runs["start_lag_s"])),
        (f"{NAMES[executor]}: starts a second, seen", f"{runs['starts_per_s']:.2f}"),
        (f"{NAMES[executor]}: failed or tried again", str(runs["failed"])),
        (f"{NAMES[executor]}: nothing due (cores)", f"{sum(runs['idle_cores'].values()):.3f}"),
        (f"{NAMES[executor]}: memory (MB)", ", ".join(f"{part} {mb:.0f}" for part, mb in runs["memory_mb"].items())),
    ]


def _kept_rows(size: int, runs: dict[str, Any]) -> list[tuple[str, str]]:
    """What stays of a run, whatever the executor."""
    return [
        ("rows a run", f"{sum(runs['rows_per_run'].values()):.0f}"),
        ("rows a day", f"{sum(runs['rows_per_run'].values()) * RUNS_A_DAY * size:,.0f}"),
        ("row bytes a day (MB)", f"{sum(runs['bytes_per_run'].values()) * RUNS_A_DAY * size / 1e6:,.0f}"),
        ("log files a day", f"{runs['log_files_per_run'] * RUNS_A_DAY * size:,.0f}"),
        ("log bytes a day (MB)", f"{runs['log_bytes_per_run'] * RUNS_A_DAY * size / 1e6:,.0f}"),
    ]


def _once(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if shards := found.get("shards"):
        lines += [
            "",
            "| DAG files | reading and serialising all (CPU s) | the largest (CPU s) | memory of it (MB) |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {count} | {one['all_cpu_s']:.1f} | {one['largest_cpu_s']:.1f} | {one['largest_mb']:.0f} |"
            for count, one in shards.items()
        ]
    if several := found.get("schedulers"):
        lines += _schedulers(several)
    if clean := found.get("clean"):
        lines += [
            "",
            f"`airflow db clean` of {clean['runs']:,} runs ({clean['rows']:,} rows): {clean['cpu_s']:.0f} CPU s, "
            f"{clean['cpu_ms_per_run']:.1f} ms a run; {clean['left']} left. It had {clean['database_mb']:.0f} "
            f"MB in the database; with a quarter of the rows made again it has {clean['grows_again_mb']:+.0f} MB.",
        ]
    if edge := found.get("edge"):
        lines += [
            "",
            f"{edge['workers']} branches on loopback, asking for work every {edge['poll_s']:.0f} s and telling that "
            f"they live every {edge['heartbeat_s']:.0f} s: {edge['cores']:.2f} cores. Failed: {edge['failed'] or 0}.",
            "",
            "| request | sent | a second | p50 ms | p95 ms | API server, CPU ms | database, CPU ms |",
            "|---|---|---|---|---|---|---|",
        ]
        for kind in ("register", "heartbeat", "fetch"):
            one = edge[kind]
            lines.append(
                f"| {kind} | {one['requests']} | {one.get('per_s', 0):.0f} | {one.get('p50_ms', 0):.0f} | "
                f"{one.get('p95_ms', 0):.0f} | {one['api_cpu_ms']:.1f} | {one['postgres_cpu_ms']:.1f} |"
            )
    if branches := found.get("branches"):
        lines += _branches(branches)
    return lines


def _branches(found: dict[str, Any]) -> list[str]:
    each, idle = found["cpu_s_per_start"], found["idle_cores"]
    here = {part: value for part, value in each.items() if part != "branch"}
    return [
        "",
        f"A run of each of {found['branches']} branches: {found['starts']} starts, {found['near']} of them at "
        f"the branches; {found['failed']} failed or tried again; scheduled to running, p50 and p95: "
        f"{', '.join(str(one) for one in found['start_lag_s'])} s. Memory of a branch's worker: "
        f"{found['memory_mb']['branch-0']:.0f} MB.",
        "",
        "| a start, of all | CPU s | nothing due (cores) |",
        "|---|---|---|",
        *(f"| {_PARTS.get(part, part)} | {value:.3f} | {idle[part]:.3f} |" for part, value in sorted(here.items())),
        f"| the centre, all of it | {sum(here.values()):.2f} | {sum(idle[part] for part in here):.3f} |",
        f"| the branches | {each['branch']:.3f} | {idle['branch']:.3f} |",
    ]


def _schedulers(found: dict[str, Any]) -> list[str]:
    race, killed = found["race"], found["killed"]
    held = f"{found['share']} of a core each" if all(one["held"] for one in race.values()) else "not held to a share"
    rows = [
        ("starts a second", lambda one: f"{one['starts_per_s']:.1f}"),
        ("due run to running, p50, p95 (s)", lambda one: ", ".join(str(value) for value in one["run_lag_s"])),
        (
            "task scheduled to handed out, p50, p95 (s)",
            lambda one: ", ".join(str(value) for value in one["start_lag_s"]),
        ),
        ("scheduler, a start (CPU s)", lambda one: f"{one['scheduler_cpu_s_per_start']:.3f}"),
        ("database, a start (CPU s)", lambda one: f"{one['database_cpu_s_per_start']:.3f}"),
        ("tasks failed or handed out twice", lambda one: str(one["not_at_the_first_try"])),
    ]
    first = next(iter(race.values()))
    lines = [
        "",
        f"Schedulers, {held}: {first['runs']} runs due at once, {first['starts']} tasks that take nothing.",
        "",
        "| schedulers | " + " | ".join(str(count) for count in race) + " |",
        "|---|" + "---|" * len(race),
    ]
    lines += [f"| {name} | " + " | ".join(shown(one) for one in race.values()) + " |" for name, shown in rows]
    states = ", ".join(f"{count} {state}" for state, count in killed["states"].items())
    return [
        *lines,
        "",
        f"One of two killed ({killed['executor']}, real tasks, {killed['its_tasks']} of them its own at that moment): "
        f"{killed['runs']} runs: {states}; of {killed['tasks']} tasks {killed['not_at_the_first_try']} not at the "
        "first try.",
    ]
