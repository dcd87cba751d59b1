# The page with the bundled detector on a CPU; needs no network once it is built.
#   docker build -t mdmf . && docker run --rm -p 7860:7860 mdmf
FROM python:3.12-slim

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    HF_HUB_OFFLINE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app
COPY requirements.lock ./
# First PyTorch for CPUs, which is on its own index and without hashes here; then all else, each file by its hash.
# The last line stops the build where PyTorch came with CUDA, which is some gigabytes for nothing.
RUN pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu torch==2.14.1 torchvision==0.29.1 \
    && pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements.lock \
    && pip check \
    && python -c "import sys, torch; sys.exit(torch.version.cuda)" \
    && useradd --create-home --uid 1000 app

COPY app.py LICENSE ./
COPY mdmf_core mdmf_core/
COPY mdmf_app mdmf_app/
COPY assets/bundled assets/bundled/
COPY examples examples/
# Whatever umask the files were checked out under.
RUN chmod -R a+rX .

USER 1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'], timeout=4)"]
CMD ["python", "app.py"]
