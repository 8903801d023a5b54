# ONNX Runtime from its release archive (include/ and lib/): cmake -DONNXRUNTIME_ROOT=/path/to/onnxruntime-linux-x64-...
set(ONNXRUNTIME_ROOT "" CACHE PATH "An unpacked release of ONNX Runtime")
find_path(ONNXRUNTIME_INCLUDE onnxruntime_cxx_api.h
          HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session)
find_library(ONNXRUNTIME_LIBRARY onnxruntime HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib lib64)
if(NOT ONNXRUNTIME_INCLUDE OR NOT ONNXRUNTIME_LIBRARY)
  message(FATAL_ERROR "ONNX Runtime's headers or library are not found: unpack a release archive of it and give "
                      "-DONNXRUNTIME_ROOT=/path/to/it")
endif()
if(NOT TARGET onnxruntime)
  add_library(onnxruntime UNKNOWN IMPORTED)
  set_target_properties(onnxruntime PROPERTIES
    IMPORTED_LOCATION "${ONNXRUNTIME_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${ONNXRUNTIME_INCLUDE}")
endif()
set(ENGINE_RUNTIME onnxruntime)
