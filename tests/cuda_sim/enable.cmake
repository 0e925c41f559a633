# Whether the simulated CUDA device is built: CUDA_SIM_ENABLED, with CUDA_HEADERS, and CUDA_NVCC
# where a compiler is there as well. Not under sanitizers: front end S uses the thread sanitizer's
# hooks for its own checks, and fibers would confuse the others.
option(FLUXBENCH_CUDA_SIM "Test the CUDA back end on a simulated device (needs CUDA's headers)" ON)
set(CUDA_SIM_ENABLED OFF)
find_path(CUDA_HEADERS cuda_bf16.h HINTS $ENV{CUDA_HOME}/include /usr/local/cuda/include)
find_program(CUDA_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
include(CheckLanguage)
check_language(CXX)
if(NOT FLUXBENCH_CUDA_SIM OR FLUXBENCH_SANITIZE)
    # by choice
elseif(NOT CUDA_HEADERS)
    message(STATUS "CUDA tests are skipped: no cuda_bf16.h (set CUDA_HOME)")
elseif(NOT CMAKE_CXX_COMPILER OR NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
    message(STATUS "CUDA tests are skipped: they need gcc and g++")
elseif(NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    message(STATUS "CUDA tests are skipped: the simulator's fibers are for x86-64")
else()
    set(CUDA_SIM_ENABLED ON)
    enable_language(CXX)
    if(NOT CUDA_NVCC)
        message(STATUS "CUDA tests through the compiler's PTX are skipped: no nvcc")
    endif()
endif()
