# Third-party libraries, all from the distribution. Each is linked by exactly one folder:
#
#     deps::cjson    base      deps::dnnl, deps::openmp    cpu
#     deps::stb, deps::deflate, deps::webp    image
#     deps::microhttpd    server      deps::curl, deps::crypto    client, hub
#     deps::cmocka    tests
find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# fluxbench_pkg(NAME MODULE): make deps::NAME from a pkg-config module.
function(fluxbench_pkg name module)
    pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
    add_library(deps::${name} ALIAS PkgConfig::${name})
endfunction()

fluxbench_pkg(cjson libcjson)
fluxbench_pkg(microhttpd libmicrohttpd)
fluxbench_pkg(curl libcurl)
fluxbench_pkg(crypto libcrypto)
fluxbench_pkg(deflate libdeflate)
fluxbench_pkg(webp libwebp)
if(BUILD_TESTING)
    fluxbench_pkg(cmocka cmocka)
endif()

# stb is headers only; oneDNN has no pkg-config file in Debian.
find_path(STB_INCLUDE_DIR stb_image_write.h PATH_SUFFIXES stb REQUIRED)
add_library(deps_stb INTERFACE)
target_include_directories(deps_stb SYSTEM INTERFACE ${STB_INCLUDE_DIR})
add_library(deps::stb ALIAS deps_stb)

find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(deps_dnnl INTERFACE)
target_include_directories(deps_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(deps_dnnl INTERFACE ${DNNL_LIBRARY})
add_library(deps::dnnl ALIAS deps_dnnl)

# Without an OpenMP runtime (clang without libomp) the pragmas are ignored: correct, on one core.
find_package(OpenMP COMPONENTS C)
add_library(deps_openmp INTERFACE)
if(OpenMP_C_FOUND)
    target_link_libraries(deps_openmp INTERFACE OpenMP::OpenMP_C)
else()
    target_compile_options(deps_openmp INTERFACE -Wno-unknown-pragmas)
endif()
add_library(deps::openmp ALIAS deps_openmp)
