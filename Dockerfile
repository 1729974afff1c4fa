# syntax=docker/dockerfile:1
#
#   docker build -t respite .
#   docker run --rm -p 127.0.0.1:7379:7379 -p 127.0.0.1:8008:8008 \
#       -e RESPITE_ACCESS__PROTECTED_MODE=false respite
#
# Without RESPITE_UPSTREAM it serves with a private Redis inside the container. Protected mode stays
# on unless it is switched off as above or [access] names users: every client of a container comes
# from another host.

FROM rust:1-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin respite \
    && cp target/release/respite /usr/local/bin/respite

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --create-home --home-dir /var/lib/respite respite
COPY --from=build /usr/local/bin/respite /usr/local/bin/respite
USER respite
WORKDIR /var/lib/respite
ENV RESPITE_LISTEN=0.0.0.0:7379 \
    RESPITE_HTTP__LISTEN=0.0.0.0:8008
EXPOSE 7379 8008
# A server that asks for a password is alive, too.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD redis-cli -p 7379 ping | grep -Eq 'PONG|NOAUTH'
ENTRYPOINT ["respite"]
