# The image: one program, and nothing else. No shell, no files of a distribution; the CA
# roots are in the program. `make image` compiles the program for each architecture and
# builds from the folder that it is in, so that nothing runs and nothing is pulled here.
FROM scratch
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="module-controller" \
      org.opencontainers.image.description="Koupleless bases as virtual Kubernetes Nodes, their modules as Pods" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY $TARGETARCH/module-controller /module-controller
USER 65532:65532
ENTRYPOINT ["/module-controller"]
