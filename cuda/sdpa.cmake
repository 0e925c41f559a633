# cuda_sdpa_source(VARIABLE FOLDER): sdpa.c where the folder has cuDNN's headers with attention as one
# operation (9.13 and later), else the file that does without.
function(cuda_sdpa_source variable folder)
    set(found "")
    if(EXISTS ${folder}/cudnn_graph_v9.h)
        file(STRINGS ${folder}/cudnn_graph_v9.h found REGEX "OPERATION_SDPA_FWD_DESCRIPTOR" LIMIT_COUNT 1)
    endif()
    if(found)
        set(${variable} sdpa.c PARENT_SCOPE)
    else()
        set(${variable} sdpa_none.c PARENT_SCOPE)
    endif()
endfunction()
