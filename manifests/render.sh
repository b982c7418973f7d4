#!/usr/bin/env bash
# Renders the manifests in this folder from the chart, which is where to change them.
# Helm is built from its pinned module, about 3 minutes the first time; without cgo, as the
# tests build it, so that it is compiled once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

render() {
  CGO_ENABLED=0 go -C "$here/../e2e/tools/helm" tool helm template module-controller "$here/chart" \
    --namespace module-controller --values "$here/chart/kustomize.yaml" "$@"
}

{
  render
  # What a setting brings with it that the manifests do not set.
  render --show-only templates/peer-deployments/rbac.yaml --set-string settings.ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE=true
} | awk -v here="$here" '
    /^---$/ { next }
    /^# Source: / {
      sub(/^.*\/templates\//, "")
      file = here "/" $0
      if (file in begun) print "---" > file
      else print "# Rendered from the chart by make generate: change manifests/chart/templates/" $0 ".\n" > file
      begun[file] = 1
      next
    }
    NF { print > file }'
