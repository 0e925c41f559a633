# Images of the two programs. Targets: server-cpu, server-cuda, client.
#
#     docker build --target server-cpu -t fluxbench-server:cpu .
#
# A program runs on the distribution it was built on, so each build stage has a runtime base of its
# own kind; which runtime packages that means there, the build stage finds out and writes down.
ARG CPU_BASE=debian:bookworm-slim
ARG CUDA_BASE=nvidia/cuda:13.0.1-devel-ubuntu24.04
ARG CUDA_RUNTIME_BASE=nvidia/cuda:13.0.1-runtime-ubuntu24.04

# ---- build ----------------------------------------------------------------------------------
FROM ${CPU_BASE} AS build-cpu
WORKDIR /src
COPY tools/packages.txt tools/container_packages.sh tools/
RUN tools/container_packages.sh build > packages \
    && apt-get update \
    && xargs apt-get install -y --no-install-recommends < packages \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN tools/container_build.sh /out

FROM ${CUDA_BASE} AS build-cuda
WORKDIR /src
COPY tools/packages.txt tools/container_packages.sh tools/
RUN tools/container_packages.sh build > packages \
    && apt-get update \
    && xargs apt-get install -y --no-install-recommends < packages \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN tools/container_build.sh /out

# ---- server ---------------------------------------------------------------------------------
FROM ${CPU_BASE} AS server-cpu
COPY --from=build-cpu /out/fluxserve.packages /usr/local/share/fluxbench/
RUN apt-get update \
    && xargs apt-get install -y --no-install-recommends \
        < /usr/local/share/fluxbench/fluxserve.packages \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /cache
COPY --from=build-cpu /out/bin/fluxserve /usr/local/bin/
COPY --from=build-cpu /out/share/fluxbench /usr/local/share/fluxbench
ENV FLUXSERVE_HOST=0.0.0.0 FLUXSERVE_PORT=30000 HF_HOME=/cache/huggingface
EXPOSE 30000
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=5s --start-period=10m --retries=3 \
    CMD ["fluxserve", "healthcheck"]
ENTRYPOINT ["fluxserve"]
CMD ["serve"]

FROM ${CUDA_RUNTIME_BASE} AS server-cuda
COPY --from=build-cuda /out/fluxserve.packages /usr/local/share/fluxbench/
RUN apt-get update \
    && xargs apt-get install -y --no-install-recommends \
        < /usr/local/share/fluxbench/fluxserve.packages \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /cache
COPY --from=build-cuda /out/bin/fluxserve /usr/local/bin/
COPY --from=build-cuda /out/share/fluxbench /usr/local/share/fluxbench
ENV FLUXSERVE_HOST=0.0.0.0 FLUXSERVE_PORT=30000 HF_HOME=/cache/huggingface
EXPOSE 30000
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=5s --start-period=10m --retries=3 \
    CMD ["fluxserve", "healthcheck"]
ENTRYPOINT ["fluxserve"]
CMD ["serve"]

# ---- client ---------------------------------------------------------------------------------
FROM ${CPU_BASE} AS client
COPY --from=build-cpu /out/fluxperf.packages /usr/local/share/fluxbench/
RUN apt-get update \
    && xargs apt-get install -y --no-install-recommends \
        < /usr/local/share/fluxbench/fluxperf.packages \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /artifacts
COPY --from=build-cpu /out/bin/fluxperf /usr/local/bin/
COPY tools/compose_client.sh /usr/local/bin/compose-client
COPY tools/image_prompts.jsonl /usr/local/share/fluxbench/
USER 10001:10001
# Relative artifact paths, the default, end up in /artifacts.
WORKDIR /
HEALTHCHECK NONE
ENTRYPOINT ["fluxperf"]
CMD ["--help"]
