"""How our Airflow is configured: everything by environment, nothing in airflow.cfg, so that one place decides.

Every process of the stack gets this environment; settings of another Airflow in the user's shell do not leak in
(connections and variables, AIRFLOW_CONN_* and AIRFLOW_VAR_*, do: they are the operator's).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from vms import queues
from vms.home import PROJECT_ROOT, Home, Parts
from vms.stack.addresses import HOST, airflow_url
from vms.stack.fleet_settings import count_sites, settings_for
from vms.stack.postgres import role_url

ADMIN_USER = "admin"
"""The person's; where passwords are kept hashed they may have changed theirs, and no program knows it."""
VIEWER_USER = "viewer"
"""As whom the viewer asks: it looks at runs and starts them. What else it may, see `vms.stack.airflow_accounts`."""
COMMANDS_USER = "commands"
"""As whom commands ask, in containers."""

_SECRETS = {ADMIN_USER: "airflow_admin", VIEWER_USER: "airflow_viewer", COMMANDS_USER: "airflow_commands"}
PASSED_THROUGH = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")

OLDEST_AIRFLOW_AT_BRANCHES = "3.3.2"
OLDEST_EDGE_AT_BRANCHES = "5.1.0"
"""The oldest that this program was tried with; raised when one of them speaks another language than the centre."""

FIXED = {
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "CORE__DEFAULT_TIMEZONE": "utc",
    "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # getfqdn hangs for seconds on machines without DNS
    "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN_USER}:admin,{VIEWER_USER}:user",  # nothing finer is to be had
    "OPERATORS__DEFAULT_QUEUE": queues.CENTRE,
    "DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",  # there are none: the DAGs are a folder
    "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "DATABASE__SQL_ALCHEMY_POOL_SIZE": "5",
    "DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "5",
    "DATABASE__SQL_ALCHEMY_POOL_RECYCLE": "900",
    "SECRETS__BACKEND": "vms_airflow.connections_file.ConnectionsFile",
    "API__HOST": HOST,
    "API__WORKER_TIMEOUT": "10",  # also how long a stop waits for open pages
    "API__INSTANCE_NAME": "Video backup",
    "API__EXPOSE_CONFIG": "False",
    "LOGGING__COLORED_CONSOLE_LOG": "False",
    "LOGGING__LOGGING_LEVEL": "INFO",
    # When each DAG runs next is said at each reading of its file and at each run: 300 MB a day for a thousand sites.
    "LOGGING__NAMESPACE_LEVELS": "airflow.models.dag=WARNING, airflow.serialization.definitions.dag=WARNING",
    # Task logs are read from the disk: Airflow's log server would listen on every interface, so it is not run.
    "LOGGING__WORKER_LOG_SERVER_PORT": "9",
    # sites.yaml is read when a DAG file is parsed; how often that is, depends on how many sites there are
    # (fleet_settings.py).
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "DAG_PROCESSOR__REFRESH_INTERVAL": "20",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "60",
    "DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
    "SCHEDULER__PARSING_CLEANUP_INTERVAL": "30",
    "SCHEDULER__CATCHUP_BY_DEFAULT": "False",
    # Tasks that start before the API server does, or while two encodes load the machine, wait for its answer.
    "WORKERS__EXECUTION_API_TIMEOUT": "30",
    "WORKERS__EXECUTION_API_RETRIES": "10",
    "WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "10",
    # A long encode must survive a restart of the API server, and a killed machine must not wait 5 minutes to go on.
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    "WORKERS__MAX_FAILED_HEARTBEATS": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
}


def airflow_environment(home: Home) -> dict[str, str]:
    """The whole environment of an Airflow process of this home (what is inherited included).

    Writes the file of users and passwords. Raises StackError when the home's database was never started.
    """
    fleet = settings_for(count_sites(home))
    own = {f"AIRFLOW__{name}": value for name, value in (FIXED | fleet | _of_home(home)).items()}
    return base_environment(home) | own | {"AIRFLOW_HOME": str(home.airflow), "VMS_CATALOGUE_URL": owner_url(home)}


def base_environment(home: Home) -> dict[str, str]:
    """What every process of the stack gets: where the code and the home are, without the database administrator."""
    inherited = {name: value for name, value in os.environ.items() if _passes(name)}
    return inherited | {
        "PYTHONPATH": os.pathsep.join((str(PROJECT_ROOT / "include"), str(PROJECT_ROOT / "plugins"))),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # threads of one process share memory pools: a third less memory, no slower here
        "VMS_HOME": str(home.root),
        "VMS_SITES": str(home.sites_file),
        "VMS_DEMO": "1" if home.demo else "0",
        "VMS_DEMO_S3": "1" if home.with_s3 else "0",
        "VMS_VIEWER_PORT": str(home.viewer_port),
        "VMS_AIRFLOW_PORT": str(home.airflow_port),
        "VMS_FFMPEG": home.ffmpeg,
        "VMS_FFPROBE": home.ffprobe,
    }


def viewer_environment(home: Home) -> dict[str, str]:
    """The viewer gets the reading role only; Airflow it asks as a user of its own (VIEWER_USER)."""
    return base_environment(home) | {
        "VMS_VIEWER_CATALOGUE_URL": role_url(home, "vms_viewer", "catalogue"),
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    }


def owner_url(home: Home) -> str:
    """The catalogue as its owner."""
    return role_url(home, "vms_owner", "catalogue")


def commands_user(home: Home) -> str:
    """As whom commands ask Airflow. On one machine that is the administrator, whose password lies beside."""
    return COMMANDS_USER if home.parts else ADMIN_USER


def password_of(home: Home, user: str = ADMIN_USER) -> str:
    """Of this user of Airflow."""
    return home.secret(_SECRETS[user], 12)


def password_file(home: Home, user: str = ADMIN_USER) -> Path:
    """Where the password of this user of Airflow lies, made at first use."""
    password_of(home, user)
    return home.secrets / _SECRETS[user]


def _of_home(home: Home) -> dict[str, str]:
    url = airflow_url(home)
    database = role_url(home, "airflow", "airflow").replace("://", "+psycopg2://", 1)
    here = _in_containers(home, home.parts, database) if home.parts else _on_this_machine(home, url)
    return here | {
        "CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "CORE__FERNET_KEY": home.secret("airflow_fernet") + "=",  # 32 random bytes, URL-safe Base64 with its padding
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API__PORT": str(home.airflow_port),
        "API__SECRET_KEY": home.secret("airflow_api", 48),
        "API_AUTH__JWT_SECRET": home.secret("airflow_jwt", 64),
        "LOGGING__BASE_LOG_FOLDER": str(home.logs / "airflow"),
        "LOGGING__JSON_LOGS": str(os.environ.get("VMS_LOG_FORMAT", "") == "json"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home.logs / "dag-processor"),
        "DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home.airflow / "bundles"),
    }


def _on_this_machine(home: Home, url: str) -> dict[str, str]:
    return {
        "CORE__PARALLELISM": str((os.cpu_count() or 1) + 2),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_users_file(home)),
        "API__BASE_URL": url,
    }


def _in_containers(home: Home, parts: Parts, database: str) -> dict[str, str]:
    """Workers take tasks from a broker, and people sign in by passwords that are kept hashed."""
    return {
        "CORE__EXECUTOR": f"CeleryExecutor,{queues.EDGE}:vms_airflow.branch_executor.BranchExecutor",
        "CORE__PARALLELISM": "512",  # how much is done at once is for the workers to say
        "CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "API__HOST": "0.0.0.0",  # noqa: S104  # of the container; what of it is published, compose says
        "API__BASE_URL": parts.pages,
        "CELERY__BROKER_URL": parts.broker,
        "CELERY__RESULT_BACKEND": f"db+{database}",
        "CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        # A message that a killed worker had taken comes again after this time only; Airflow itself tries again long
        # before, and must never do what is still being done twice.
        "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
        # A batch may wait for hours until a worker has a place for it. After ten minutes it is asked for anew, in case
        # that it was lost on its way; so often that nobody has to look after it.
        "SCHEDULER__TASK_QUEUED_TIMEOUT": "600",
        "SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "100000",
        # A waiting task's right to begin ends after the same ten minutes. It has to be good until the task is asked for
        # anew, and then for the start: whoever takes the task up in between would be refused, and a try be used up.
        "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "30",
        "API_AUTH__JWT_LEEWAY": "90",
        "FAB__CONFIG_FILE": str(home.airflow / "webserver_config.py"),
        # Where people come by HTTPS the session never travels without it; browsers take localhost for as safe.
        "FAB__COOKIE_SECURE": str(parts.pages.startswith("https:")),
        "FAB__COOKIE_SAMESITE": "Lax",
        "EDGE__API_ENABLED": "True",
        # A branch that is a version behind works on, and is told; centre and branches can't be changed in one moment.
        "EDGE__MINIMUM_ACCEPTABLE_CORE_VERSION_FOR_WORKERS": OLDEST_AIRFLOW_AT_BRANCHES,
        "EDGE__MINIMUM_ACCEPTABLE_EDGE_VERSION_FOR_WORKERS": OLDEST_EDGE_AT_BRANCHES,
        # A task's right to report is renewed when a fifth of it is left: 72 minutes, for an hour without line.
        "EXECUTION_API__JWT_EXPIRATION_TIME": "21600",
    }


def _users_file(home: Home) -> Path:
    """Airflow reads users and passwords from this file, and would make up a password of its own for a missing user."""
    path = home.secrets / "airflow_users.json"
    wanted = json.dumps({user: password_of(home, user) for user in (ADMIN_USER, VIEWER_USER)})
    if not path.exists() or path.read_text().strip() != wanted:
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(wanted + "\n")
        fresh.replace(path)
    return path


def _passes(name: str) -> bool:
    foreign_airflow = name.startswith("AIRFLOW") and not name.startswith(PASSED_THROUGH)
    return not foreign_airflow and name not in ("VMS_POSTGRES_URL", "VMS_CATALOGUE_URL", "VMS_VIEWER_CATALOGUE_URL")
