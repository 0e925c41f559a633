# Front end P.
#
#   cuda_translate_ptx(NAME SOURCES a.ptx...)   an object library from PTX
#   cuda_ptx_kernels(NAME SOURCES a.cu...)      interface libraries NAME_on_ptx_80, ...: nvcc's host
#       objects and, per architecture, its PTX as C. Device code is never assembled here (that is
#       the static budget's business), so this takes seconds.
set(CUDA_PTX_ARCHS 80 90 120 CACHE STRING
    "Compute capabilities whose PTX is run, two at least: nvcc names the files by them then")
find_program(PYTHON3 python3 REQUIRED)
file(GLOB CUDA_PTX_TRANSLATOR CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.py)

function(cuda_translate_ptx name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
    set(translated "")
    foreach(source ${arg_SOURCES})
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        cmake_path(GET source FILENAME file)
        set(out ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir/${file}.c)
        file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir)
        add_custom_command(OUTPUT ${out}
            COMMAND ${PYTHON3} ${PROJECT_SOURCE_DIR}/tests/cuda_sim/ptx2c/ptx2c.py ${source} ${out}
            DEPENDS ${source} ${CUDA_PTX_TRANSLATOR} VERBATIM)
        list(APPEND translated ${out})
    endforeach()
    add_library(${name} OBJECT ${translated})
    set_target_properties(${name} PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
    # Generated: no warnings. No contraction: what is fused is fused by fma already.
    target_compile_options(${name} PRIVATE
        -w -O1 -g0 -ffp-contract=off -fno-strict-aliasing -fno-math-errno)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
    target_include_directories(${name} SYSTEM PRIVATE ${CUDA_HEADERS})
endfunction()

function(cuda_ptx_kernels name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES")
    file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.h
        ${PROJECT_SOURCE_DIR}/cuda/*.cuh ${PROJECT_SOURCE_DIR}/tensor/*.h)
    set(flags "")
    foreach(arch ${CUDA_PTX_ARCHS})
        list(APPEND flags -gencode arch=compute_${arch},code=compute_${arch})
    endforeach()
    set(objects "")
    foreach(source ${arg_SOURCES})
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        cmake_path(GET source STEM stem)
        set(dir ${CMAKE_CURRENT_BINARY_DIR}/${name}.dir/${stem})
        file(MAKE_DIRECTORY ${dir})
        set(ptx "")
        foreach(arch ${CUDA_PTX_ARCHS})
            list(APPEND ptx ${dir}/${stem}.compute_${arch}.ptx)
            list(APPEND ptx_${arch} ${dir}/${stem}.compute_${arch}.ptx)
        endforeach()
        add_custom_command(OUTPUT ${dir}/${stem}.o ${ptx}
            COMMAND ${CUDA_NVCC} -O3 -lineinfo -std=c++17 -I${PROJECT_SOURCE_DIR} ${flags}
                --keep --keep-dir ${dir} -c ${source} -o ${dir}/${stem}.o
            DEPENDS ${source} ${headers} VERBATIM)
        list(APPEND objects ${dir}/${stem}.o)
    endforeach()
    add_custom_target(${name}_nvcc DEPENDS ${objects})
    set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    foreach(arch ${CUDA_PTX_ARCHS})
        cuda_translate_ptx(${name}_${arch} SOURCES ${ptx_${arch}})
        # Linked as they are: constructors register the kernels.
        add_library(${name}_on_ptx_${arch} INTERFACE)
        target_sources(${name}_on_ptx_${arch} INTERFACE
            ${objects} $<TARGET_OBJECTS:${name}_${arch}>)
        target_link_libraries(${name}_on_ptx_${arch} INTERFACE cuda_sim stdc++ m)
        add_dependencies(${name}_on_ptx_${arch} ${name}_nvcc)
    endforeach()
endfunction()
