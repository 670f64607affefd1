# One image for all parts of Airflow, the viewer and the one-shot `init`: which one a container is, its command says.
# Built by `docker compose build`; see docs/operations.md, "Containers".
FROM python:3.11-slim-bookworm

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/vms/include:/opt/vms/plugins \
    VMS_HOME=/var/lib/vms

# The packages: the largest layer by far, made anew only when what is pinned changes. FFmpeg comes with them.
COPY requirements.txt requirements-compose.txt /opt/vms/
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --disable-pip-version-check -q "$(sed -n 's/^\(uv==[^ ;]*\).*/\1/p' /opt/vms/requirements.txt)" \
    && uv pip install --no-cache --compile-bytecode --only-binary :all: --python /opt/venv/bin/python \
        -r /opt/vms/requirements.txt -r /opt/vms/requirements-compose.txt

# Nobody in here is root. The number is the one of the user who runs compose, so that folders of the machine that are
# mounted (footage, NAS) belong to the same user on both sides.
ARG VMS_UID=10001
RUN useradd --uid "$VMS_UID" --create-home --shell /usr/sbin/nologin vms \
    && install -d -o vms -g vms /var/lib/vms /var/lib/vms/airflow /var/lib/vms/branches /backups /footage /archive

COPY include /opt/vms/include
COPY plugins /opt/vms/plugins
COPY dags /opt/vms/dags
COPY viewer /opt/vms/viewer
# Which commit it is of. Where there is no git, only the first of each line is there.
COPY requirements.txt .git/HEA[D] .git/packed-ref[s] /opt/vms/.git/
COPY requirements.txt .git/refs/head[s] /opt/vms/.git/refs/heads/
# sites.yaml is the machine's; a whole folder is mounted, because an editor that replaces the file would leave a mount of
# the file alone behind.
RUN ln -s /config/sites.yaml /opt/vms/sites.yaml && python -m compileall -q /opt/vms \
    && printf '#!/bin/sh\nexec python -m vms.cli "$@"\n' >/usr/local/bin/vms \
    && chmod 755 /usr/local/bin/vms

WORKDIR /opt/vms
USER vms
ENTRYPOINT ["python", "-m", "vms.stack.container"]
