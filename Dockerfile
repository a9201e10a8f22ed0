# Trainyard's images: `server`, `worker` and `cli`, on Debian 13.
#
#   docker build --target server -t trainyard-server .
#   docker build --target worker -t trainyard-worker .
#   docker build --target cli    -t trainyard-cli .
#
# A worker for CUDA is built from a base that has CUDA, the compilers that
# deploy/install_deps.sh asks for, and a CUDA LibTorch (not run yet):
#
#   docker build --target worker --build-arg BASE=my-cuda-base --build-arg LIBTORCH=/opt/libtorch …
#
# Every program runs as user 10001, writes below /var/lib/trainyard and nowhere
# else (so that the rest can be read-only), and ends cleanly on SIGTERM. No
# init is needed: each program reaps what it starts.
ARG BASE=debian:trixie-slim

# ---- the tools and libraries that building takes
FROM ${BASE} AS tools
# The folder of a LibTorch in BASE; empty: the distribution's package.
ARG LIBTORCH=
COPY deploy/install_deps.sh /src/deploy/
RUN /src/deploy/install_deps.sh --no-tests ${LIBTORCH:+--no-libtorch} && \
    rm -rf /var/lib/apt/lists/*

# ---- everything without LibTorch
FROM tools AS programs
WORKDIR /src
COPY CMakeLists.txt LICENSE ./
COPY deploy/image deploy/image
COPY deploy/cloud/prices.yaml deploy/cloud/
COPY cmake cmake
COPY base base
COPY proto proto
COPY examples examples
COPY server server
COPY client client
COPY workers workers
RUN --mount=type=cache,id=trainyard-ccache,target=/ccache \
    deploy/image/build.sh /opt/server trainyard-server && \
    deploy/image/build.sh /opt/cli trainctl glyphs

# ---- the worker and its runner
FROM programs AS runner
ARG LIBTORCH=
RUN --mount=type=cache,id=trainyard-ccache,target=/ccache \
    LIBTORCH=${LIBTORCH} deploy/image/build.sh /opt/worker trainyard-worker trainyard-runner

# ---- what the images share
FROM ${BASE} AS base
ARG VERSION=0.1.0
LABEL org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.vendor=Trainyard
# /var/lib/trainyard holds what must last; /data is where datasets are mounted.
RUN groupadd --gid 10001 trainyard && \
    useradd --uid 10001 --gid 10001 --no-log-init --no-create-home \
      --home-dir /data --shell /usr/sbin/nologin trainyard && \
    install -d -o 10001 -g 10001 -m 0700 /var/lib/trainyard && \
    install -d -m 0755 /data
ENV HOME=/data LC_ALL=C.UTF-8
WORKDIR /data
STOPSIGNAL SIGTERM

# ---- targets. Packages come before programs: they change less often.
FROM base AS cli
LABEL org.opencontainers.image.title=trainyard-cli \
      org.opencontainers.image.description="trainctl, the command line of the Trainyard training-job server"
COPY --from=programs /opt/cli/packages /usr/local/share/trainyard/packages
COPY deploy/image/install_packages.sh /usr/local/share/trainyard/
RUN /usr/local/share/trainyard/install_packages.sh
COPY examples/jobs /usr/local/share/trainyard/jobs
COPY --from=programs /opt/cli/bin /usr/local/bin
# For deploy/compose.yaml: its volumes take their owner from here.
RUN install -d -o 10001 -g 10001 -m 0700 /security/authority /security/server /security/worker && \
    install -d -o 10001 -g 10001 -m 0755 /security/metrics
USER 10001:10001
ENTRYPOINT ["trainctl"]

FROM base AS worker
LABEL org.opencontainers.image.title=trainyard-worker \
      org.opencontainers.image.description="A worker of the Trainyard training-job server"
COPY --from=runner /opt/worker/packages /usr/local/share/trainyard/packages
COPY deploy/image/install_packages.sh /usr/local/share/trainyard/
RUN /usr/local/share/trainyard/install_packages.sh
COPY --from=runner /opt/worker/bin /usr/local/bin
ENV TRAINYARD_WORK_DIR=/var/lib/trainyard
VOLUME /var/lib/trainyard
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["trainyard-worker", "--health"]
ENTRYPOINT ["trainyard-worker"]

FROM base AS server
LABEL org.opencontainers.image.title=trainyard-server \
      org.opencontainers.image.description="The Trainyard training-job server"
COPY --from=programs /opt/server/packages /usr/local/share/trainyard/packages
COPY deploy/image/install_packages.sh /usr/local/share/trainyard/
RUN /usr/local/share/trainyard/install_packages.sh
COPY --from=programs /opt/server/bin /usr/local/bin
# The server's default state folder is then /var/lib/trainyard.
ENV XDG_STATE_HOME=/var/lib
EXPOSE 7070 9464
VOLUME /var/lib/trainyard
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["trainyard-server", "--health"]
ENTRYPOINT ["trainyard-server"]
