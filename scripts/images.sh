#!/usr/bin/env bash
# Images of what is in target/static, by the local Docker daemon; nothing is pulled: `make images-local`.
set -euo pipefail
cd "$(dirname "$0")/.."

docker info >/dev/null 2>&1 || { echo "no Docker daemon answers: start one, or set DOCKER_HOST" >&2 && exit 1; }
case $(docker version --format '{{.Server.Arch}}') in
    amd64) arch=x86_64 ;;
    arm64) arch=aarch64 ;;
    *) echo "there are images for amd64 and arm64" >&2 && exit 1 ;;
esac
version=$(cargo pkgid --package infra-watch | sed 's/.*[#@]//')
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

# image NAME FOLDER MEGABYTES: builds NAME:local from FOLDER/Dockerfile, and fails when it is larger.
image() {
    local name=$1 folder=$2 most=$3 context=target/images/$1 bytes
    if [[ ! -f target/static/$arch/$name ]]; then
        echo "target/static/$arch/$name is not there: make static" >&2
        exit 1
    fi
    scripts/image-root.sh "$name" "$arch" "$context"
    scripts/step.sh "image $name:local" docker build --quiet --target prebuilt --file "$folder/Dockerfile" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --tag "$name:local" "$context"
    bytes=$(docker image inspect --format '{{.Size}}' "$name:local")
    printf '%s:local, %s: %d.%02d MB\n' "$name" "$arch" $((bytes / 1000000)) $((bytes % 1000000 / 10000))
    if ((bytes > most * 1000000)); then
        echo "$name:local is over its $most MB" >&2
        exit 1
    fi
}

image infra-watch backend 40
image infra-watch-agent agent 12
