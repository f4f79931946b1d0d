#!/bin/sh
# Puts what benchmarks/peers.py runs beside opstore into build/peers. What can't be had is said there, and left out.
set -eu
mkdir -p build/peers
cd build/peers
if [ ! -x venv/bin/mlflow ] || [ ! -x venv/bin/dvc ]; then
	"${PYTHON:-python3}" -m venv venv
	venv/bin/python -m pip install --quiet --disable-pip-version-check mlflow dvc || echo "no MLflow and DVC from PyPI"
fi
if [ ! -x registry/usr/bin/docker-registry ]; then
	# Unpacked, not installed: that needs no rights.
	{ apt-get download docker-registry && dpkg -x docker-registry_*.deb registry; } || echo "no docker-registry from Debian"
fi
