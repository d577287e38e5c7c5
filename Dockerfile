# One image for every service: `docker run novella api`, `... scheduler`, `... compute`, or the whole cloud by
# docker-compose.yml. Needs nothing newer than Docker 20.10, nor BuildKit.
ARG RUST_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

# The workspace without its code: the manifests, and an empty file for each library and program that they name. It is the
# same until a manifest changes, and so is the layer below that is made from it.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
# p12-keystore stays whole: lapin, a dependency, is compiled with it.
RUN find . -type f -regextype posix-extended ! -regex \
        '.*/(Cargo\.(toml|lock)|\.cargo/config\.toml|src/(lib|main)\.rs|tests/[^/]+\.rs|benches/[^/]+/main\.rs|p12-keystore/.*)' -delete \
    && echo 'fn main() {}' | tee $(find . -name '*.rs' ! -path '*/p12-keystore/*') >/dev/null

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# `release` builds in half the time, `dev` in a fraction of it, for a binary that is larger and slower.
ARG PROFILE=dist
ENV CARGO_INCREMENTAL=0
# The dependencies. What came of the empty crates is removed, so that nothing of it can be taken for the real ones.
COPY --from=manifests /src .
RUN cargo build --locked --package novella --profile "$PROFILE" --target-dir /build \
    && find /build -name '*novella*' -prune -exec rm -rf {} +
COPY . .
RUN cargo build --locked --package novella --profile "$PROFILE" --target-dir /build \
    && install -D /build/*/novella /out/novella

FROM ${RUNTIME_IMAGE}
# The authorities by which a broker or a database behind TLS is known; all that is needed beside the C library.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Fixed ids, so that the owner of a volume is the same in every version of the image. As a number in USER, by which
# Kubernetes sees that it is not root.
RUN groupadd --system --gid 10001 novella \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/novella --create-home --shell /usr/sbin/nologin novella
COPY --from=build /out/novella /usr/local/bin/novella
USER 10001
# Where a compute host keeps its journal and its guests: give it a volume here.
WORKDIR /var/lib/novella
EXPOSE 8774
ENTRYPOINT ["novella"]
# No HEALTHCHECK: where a service answers depends on which one it is. `novella healthcheck URL` is there for it; see
# docker-compose.yml.
CMD ["--help"]
