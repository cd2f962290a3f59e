#!/usr/bin/env python3
"""Checks docker-compose.yml: against the Compose Specification's schema, and for what it promises.

    check.py                        checks, and prints what it has checked
    check.py --environment SERVICE  prints the variables that the service gets, NAME=VALUE, a line each
    check.py --command SERVICE      prints the service's command, an argument a line

Needs PyYAML and jsonschema. The schema is compose-spec.json of the Compose Specification (Apache-2.0, see
LICENSE.compose-spec), taken from the PyPI package check-jsonschema 0.39.0.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path

import jsonschema
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILE = ROOT / "docker-compose.yml"
SECRET = "TAMIS_CLUSTER_SECRET"
MEMBERS = ("scheduler", "executor")


class Refused(Exception):
    """What compose would refuse."""


def interpolate(value, environment):
    """Replaces variables as compose does: ${NAME}, ${NAME:-default}, ${NAME:?why}, and $$ for a dollar."""
    if isinstance(value, dict):
        return {key: interpolate(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, environment) for each in value]
    if not isinstance(value, str):
        return value

    def replaced(match):
        if match["dollar"]:
            return "$"
        name, operator, word = match["name"], match["operator"], match["word"] or ""
        given = environment.get(name, "")
        if given or not operator:
            return given
        if operator == ":?":
            raise Refused(f"{name}: {word}")
        return word

    return re.sub(r"(?P<dollar>\$\$)|\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<word>[^}]*))?\}", replaced, value)


def load(environment):
    return interpolate(yaml.safe_load(FILE.read_text()), environment)


def variables(service):
    return {key: "" if value is None else str(value) for key, value in service.get("environment", {}).items()}


def check() -> list[str]:
    checked = []

    def that(is_so, what):
        if not is_so:
            raise AssertionError(what)
        checked.append(what)

    compose = load({SECRET: "x" * 32})
    schema = json.loads((HERE / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(compose), key=lambda e: list(e.path))
    for error in errors:
        print(f"{'.'.join(map(str, error.absolute_path))}: {error.message}", file=sys.stderr)
    that(not errors, "the file is what the Compose Specification allows")
    # A schema that finds nothing wrong in anything would be no check.
    broken = load({SECRET: "x" * 32})
    broken["services"]["store"]["helthcheck"] = {}
    that(not jsonschema.Draft202012Validator(schema).is_valid(broken), "the schema refuses a key that there is not")

    try:
        load({})
        that(False, "without a secret nothing starts")
    except Refused as refused:
        that(SECRET in str(refused), "without a secret nothing starts")

    services = compose["services"]
    for name, service in services.items():
        needed = service.get("depends_on", {})
        that(set(needed) <= set(services), f"{name}: it waits for services that there are")
        if "build" in service:
            target = service["build"]["target"]
            stages = re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
            that(target in stages, f"{name}: the Dockerfile has its target, {target}")
        else:
            that(re.search(r":v?\d[\w.-]*$", service["image"]), f"{name}: its image has a version, {service['image']}")
        for on, how in needed.items():
            if how["condition"] == "service_healthy":
                in_image = services[on].get("build", {}).get("target") in ("runtime", "notebook")
                that("healthcheck" in services[on] or in_image, f"{name}: {on}, which it waits for, has a health check")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                that((ROOT / source).exists(), f"{name}: {source} is there")
            elif not source.startswith("/"):
                that(source in compose["volumes"], f"{name}: the volume {source} is declared")
        for port in service.get("ports", []):
            that(port.startswith("127.0.0.1:"), f"{name}: {port} is published on this machine alone")
    for name in MEMBERS:
        that(variables(services[name])[SECRET] == "x" * 32, f"{name}: it knows the cluster's secret")
        grace, drain = int(services[name]["stop_grace_period"].removesuffix("s")), 60
        that(grace > drain, f"{name}: it has {grace} s to end, and {drain} s to drain")
    for name in set(services) - set(MEMBERS):
        that(SECRET not in variables(services[name]), f"{name}: it does not know the cluster's secret")
    that(services["executor"]["deploy"]["replicas"] == 2, "there are two executors")
    return checked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", metavar="SERVICE")
    parser.add_argument("--command", metavar="SERVICE")
    arguments = parser.parse_args()
    try:
        if arguments.environment:
            for name, value in variables(load(os.environ)["services"][arguments.environment]).items():
                print(f"{name}={value}")
        elif arguments.command:
            print("\n".join(load(os.environ)["services"][arguments.command]["command"]))
        else:
            checked = check()
            print("\n".join(f"ok: {what}" for what in checked))
    except (AssertionError, Refused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
