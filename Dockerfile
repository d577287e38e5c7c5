# One image for every service: `docker run novella api`, `... scheduler`, `... compute`, or the whole cloud by
# docker-compose.yml. Needs nothing newer than Docker 20.10, nor BuildKit.
ARG RUST_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# `release` builds in half the time, `dev` in a fraction of it, for a binary that is larger and slower.
ARG PROFILE=dist
# Built outside the sources, and removed in the same layer, which then holds the binary alone.
RUN CARGO_INCREMENTAL=0 cargo build --locked --package novella --profile "$PROFILE" --target-dir /build \
    && install -D /build/*/novella /out/novella \
    && rm -rf /build

FROM ${RUNTIME_IMAGE}
# The authorities by which a broker or a database behind TLS is known; all that is needed beside the C library.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A fixed id, so that the owner of a volume is the same in every version of the image.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/novella --create-home --shell /usr/sbin/nologin novella
COPY --from=build /out/novella /usr/local/bin/novella
USER novella
# Where a compute host keeps its journal and its guests: give it a volume here.
WORKDIR /var/lib/novella
EXPOSE 8774
ENTRYPOINT ["novella"]
CMD ["--help"]
