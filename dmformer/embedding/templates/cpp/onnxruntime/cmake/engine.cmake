# ONNX Runtime from its release archive (include/ and lib/): cmake -DONNXRUNTIME_ROOT=/path/to/onnxruntime-linux-x64-...
set(ONNXRUNTIME_ROOT "" CACHE PATH "An unpacked release of ONNX Runtime")
find_path(ONNXRUNTIME_INCLUDE onnxruntime_cxx_api.h
          HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session)
find_library(ONNXRUNTIME_LIBRARY onnxruntime HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib lib64)
if(NOT ONNXRUNTIME_INCLUDE OR NOT ONNXRUNTIME_LIBRARY)
  message(FATAL_ERROR "ONNX Runtime's headers or library are not found: unpack a release archive of it and give "
                      "-DONNXRUNTIME_ROOT=/path/to/it")
endif()
target_include_directories(dmformer PRIVATE "${ONNXRUNTIME_INCLUDE}")
target_link_libraries(dmformer PRIVATE "${ONNXRUNTIME_LIBRARY}")
