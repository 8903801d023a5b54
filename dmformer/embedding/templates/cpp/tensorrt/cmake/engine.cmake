# TensorRT 10 from JetPack or Debian packages, or from its archive: cmake -DTENSORRT_ROOT=/path/to/TensorRT-10...
find_package(CUDAToolkit REQUIRED)
set(TENSORRT_ROOT "" CACHE PATH "An unpacked TensorRT")
find_path(TENSORRT_INCLUDE NvInfer.h HINTS "${TENSORRT_ROOT}" PATH_SUFFIXES include include/aarch64-linux-gnu)
find_library(TENSORRT_LIBRARY nvinfer HINTS "${TENSORRT_ROOT}" PATH_SUFFIXES lib lib64 lib/aarch64-linux-gnu)
if(NOT TENSORRT_INCLUDE OR NOT TENSORRT_LIBRARY)
  message(FATAL_ERROR "TensorRT's headers or library are not found: install libnvinfer-dev, or give "
                      "-DTENSORRT_ROOT=/path/to/TensorRT")
endif()
if(NOT TARGET nvinfer)
  add_library(nvinfer UNKNOWN IMPORTED)
  set_target_properties(nvinfer PROPERTIES
    IMPORTED_LOCATION "${TENSORRT_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${TENSORRT_INCLUDE}")
endif()
set(ENGINE_RUNTIME nvinfer CUDA::cudart)
