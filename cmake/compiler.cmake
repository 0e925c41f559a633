# How everything is compiled. Targets made by fluxbench_library(), fluxbench_program() and
# fluxbench_test() link `fluxbench_flags`, which carries all of it.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()

# Release keeps its asserts (they guard whole operations, not inner loops) and its line numbers.
# No -march=native: the binaries run on any x86-64, faster code is chosen at run time.
set(CMAKE_C_FLAGS_RELEASE "-O3 -g")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-Og -g")

add_library(fluxbench_flags INTERFACE)
target_compile_definitions(fluxbench_flags INTERFACE
    _GNU_SOURCE FLUXBENCH_VERSION="${PROJECT_VERSION}")
target_include_directories(fluxbench_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(fluxbench_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes
    -fno-math-errno -fno-trapping-math -fno-common)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    target_compile_options(fluxbench_flags INTERFACE -Wno-string-conversion) # assert(!"reason")
endif()
if(FLUXBENCH_WERROR)
    target_compile_options(fluxbench_flags INTERFACE -Werror)
endif()

if(FLUXBENCH_SANITIZE)
    target_compile_options(fluxbench_flags INTERFACE
        -fsanitize=${FLUXBENCH_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(fluxbench_flags INTERFACE -fsanitize=${FLUXBENCH_SANITIZE})
endif()
