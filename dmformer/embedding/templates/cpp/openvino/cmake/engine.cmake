# OpenVINO from anywhere that CMake looks, or from the Python wheel (`pip install openvino`), which ships its headers.
if(NOT OpenVINO_DIR)
  find_program(DMFORMER_PYTHON NAMES python3 python)
  if(DMFORMER_PYTHON)
    execute_process(
      COMMAND "${DMFORMER_PYTHON}" -c "from openvino.utils import get_cmake_path; print(get_cmake_path())"
      OUTPUT_VARIABLE wheel OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    set(OpenVINO_DIR "${wheel}" CACHE PATH "Folder of OpenVINOConfig.cmake")
  endif()
endif()
find_package(OpenVINO REQUIRED COMPONENTS Runtime)
target_link_libraries(dmformer PRIVATE openvino::runtime)
