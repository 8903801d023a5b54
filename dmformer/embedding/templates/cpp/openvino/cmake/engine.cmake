# OpenVINO from anywhere that CMake looks, or from the Python wheel (`pip install openvino`), which ships its headers.
find_program(DMFORMER_PYTHON NAMES python3 python)
if(DMFORMER_PYTHON)
  execute_process(
    COMMAND "${DMFORMER_PYTHON}" -c "from openvino.utils import get_cmake_path; print(get_cmake_path())"
    OUTPUT_VARIABLE DMFORMER_WHEEL OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
unset(DMFORMER_PYTHON CACHE)  # Another environment may be the active one next time.
find_package(OpenVINO QUIET COMPONENTS Runtime HINTS "${DMFORMER_WHEEL}")
if(NOT OpenVINO_FOUND)
  message(FATAL_ERROR "OpenVINO is not found: `pip install openvino` for the python3 that is first on the PATH, or give "
                      "-DOpenVINO_DIR=/path/to/the/folder/of/OpenVINOConfig.cmake")
endif()
set(ENGINE_RUNTIME openvino::runtime)
