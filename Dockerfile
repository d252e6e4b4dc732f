# probelet alone: a static binary and the public CAs, run by a user that owns nothing. For amd64 and arm64, each built on its
# own kind of machine or emulated (docker buildx build --platform linux/arm64; an emulated build takes hours).

FROM rust:1.95-slim-bookworm AS builder
# musl-tools: ring and SQLite are compiled for the static target.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates musl-tools \
 && rm -rf /var/lib/apt/lists/* \
 && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
ARG PROBELET_REVISION=
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --target "$(uname -m)-unknown-linux-musl" \
 && install -D "target/$(uname -m)-unknown-linux-musl/release/probelet" /out/probelet

FROM scratch
ARG PROBELET_VERSION=
ARG PROBELET_REVISION=
LABEL org.opencontainers.image.title="probelet" \
      org.opencontainers.image.description="The health sidecar: probes on a schedule, one snapshot, five endpoints" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$PROBELET_VERSION" \
      org.opencontainers.image.revision="$PROBELET_REVISION"
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /out/probelet /probelet
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 10240
# The sidecar's own health, never the app's: whoever restarts what is unhealthy would restart the wrong container.
# Kubernetes does not look at it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/probelet", "ask", "daemon", "--timeout", "2s"]
ENTRYPOINT ["/probelet"]
CMD ["run"]
