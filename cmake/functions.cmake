# fluxbench_library(NAME SOURCES file.c... LIBS lib...): the static library of a folder. Libraries
# are those whose headers the folder's headers or sources include.
function(fluxbench_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC ${arg_LIBS} m PRIVATE fluxbench_flags)
endfunction()

# fluxbench_program(NAME SOURCES file.c... LIBS lib...): a program that is installed.
function(fluxbench_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE ${arg_LIBS} m Threads::Threads fluxbench_flags)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()
