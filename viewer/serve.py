"""Start the viewer: `python -m viewer.serve`. It listens where VMS_VIEWER_HOST and VMS_VIEWER_PORT say."""

from __future__ import annotations

import logging
import sys

import uvicorn
from streamlit.web import bootstrap

from viewer.theme import OPTIONS
from vms import logs
from vms.errors import VmsError
from vms.home import Home, from_environment


def main() -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit status."""
    logs.set_up()
    try:
        home = from_environment()
        home.prepare()
    except VmsError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  # the message says it all
        return 1
    configure(home)
    from viewer.app import app  # after configure: the app reads Streamlit's options while it is built

    uvicorn.run(
        app,
        host=home.place.host,
        port=home.viewer_port,
        ssl_certfile=home.place.certificate,
        ssl_keyfile=home.place.key,
        proxy_headers=bool(home.place.proxies),
        forwarded_allow_ips=list(home.place.proxies),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        ws_ping_interval=20,
    )
    return 0


def configure(home: Home) -> None:
    """Set Streamlit's options: our look, no telemetry, no developer tools, no file watching."""
    names = home.place.names
    options = {
        **OPTIONS,
        "server.port": home.viewer_port,
        "browser.serverPort": home.viewer_port,
        "server.address": home.place.host,
        "server.allowedHosts": [*OPTIONS["server.allowedHosts"], *names],
        "server.corsAllowedOrigins": [f"{scheme}://{name}" for name in names for scheme in ("http", "https")],
    }
    bootstrap.load_config_options(options)


if __name__ == "__main__":
    sys.exit(main())
