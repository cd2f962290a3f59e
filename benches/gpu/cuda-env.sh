#!/usr/bin/env bash
# What `cargo build --features cuda` needs, on a machine with neither CUDA nor a GPU: nvcc and the libraries from PyPI's
# wheels, and for the linker a stub of the driver's library, which only machines with a GPU have.
#
#   source benches/gpu/cuda-env.sh [DIR]     installs into DIR (default ~/.cache/tamis-cuda-13.0) once, and sets the environment
#   cargo build --release --locked --features cuda --bin tamis
#
# CUDA_COMPUTE_CAP chooses the GPU: 90 (Hopper, the default), 89 (Ada), 86, 80 (Ampere). Wheels of CUDA 13.0 want a driver of
# 580 or later. To run, LD_LIBRARY_PATH must name the folders of libcublas.so.13, libcurand.so.10, libcudart.so.13 and
# libnvrtc.so.13: an installed CUDA 13 toolkit's, or this one's (DIR/venv/lib/python3*/site-packages/nvidia/cu13/lib).
cuda_env() {
  local dir=$1 venv=$1/venv cu library driver
  if [ ! -e "$dir/ready" ]; then
    mkdir -p "$dir" && python3 -m venv "$venv" || return
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'nvidia-cuda-nvcc==13.0.*' 'nvidia-nvvm==13.0.*' \
      'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cccl==13.0.*' 'nvidia-cublas==13.0.*' \
      'nvidia-cuda-nvrtc==13.0.*' nvidia-curand || return
    cu=$(echo "$venv"/lib/python3*/site-packages/nvidia/cu13)
    ln -sfn lib "$cu/lib64"
    for library in cublas cublasLt cudart curand nvrtc; do
      ln -sf "$(find "$cu/lib" -name "lib$library.so.*" | sort | head -n 1)" "$cu/lib/lib$library.so"
    done
    # The driver's functions that the crate cudarc names, empty: they are linked against and never run.
    cargo fetch --locked || return
    driver=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -path '*/cudarc-*/src/driver/sys/mod.rs' | sort | tail -n 1)
    mkdir -p "$dir/stubs"
    grep -hoE 'fn cu[A-Z][A-Za-z0-9_]*' "$driver" | sed 's/^fn //' | sort -u | sed 's/.*/void &(void) {}/' > "$dir/stubs/cuda.c"
    cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$dir/stubs/libcuda.so" "$dir/stubs/cuda.c" || return
    touch "$dir/ready"
  fi
  cu=$(echo "$venv"/lib/python3*/site-packages/nvidia/cu13)
  export CUDA_HOME=$cu CUDA_PATH=$cu CUDA_ROOT=$cu CUDA_TOOLKIT_ROOT_DIR=$cu NVCC=$cu/bin/nvcc
  export PATH=$cu/bin:$PATH LIBRARY_PATH=$cu/lib:$dir/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
  export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90}
}
cuda_env "${1:-$HOME/.cache/tamis-cuda-13.0}"
