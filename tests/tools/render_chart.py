"""Render the Helm chart with each of the values on standard input, and validate what it makes.

Run with the Python of ``.venv/helm``. Input and output are JSON.
"""

import json
import sys
from typing import Any

import helm_python as helm
import kubernetes_validate
import yaml

#: The oldest that Chart.yaml admits, and the newest that the schemas know.
VERSIONS = ("1.27", kubernetes_validate.latest_version())


def rendered(chart: helm.Chart, values: dict[str, Any]) -> dict[str, Any]:
    try:
        chart.validate_schema(values)
        files = chart.render(values, name="gp", namespace="gatepass")
    except helm.HelmError as error:
        return {"error": str(error)}
    manifests = [
        manifest for text in files.values() for manifest in yaml.safe_load_all(text) if manifest
    ]
    return {"manifests": manifests, "problems": list(problems(manifests))}


def problems(manifests: list[dict[str, Any]]) -> Any:
    for manifest in manifests:
        # A custom resource has no schema there.
        if not manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    yield f"{version} {manifest['kind']}: {error.message}"


directory, asked = sys.argv[1], json.load(sys.stdin)
lint = helm.lint(directory, asked[0], strict=True)
answers = [rendered(helm.Chart.load(directory), values) for values in asked]
json.dump({"lint": lint["messages"], "rendered": answers}, sys.stdout)
