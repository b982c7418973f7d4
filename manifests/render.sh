#!/usr/bin/env bash
# Renders the manifests in this folder from the chart, which is where to change them.
# Helm is built from its pinned module, about 3 minutes the first time; without cgo, as the
# tests build it, so that it is compiled once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
CGO_ENABLED=0 go -C "$here/../e2e/tools/helm" tool helm template module-controller "$here/chart" \
  --namespace module-controller --values "$here/chart/kustomize.yaml" |
  awk -v here="$here" '
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
