# What find_package reads of an installed project.
include(CMakeFindDependencyMacro)
find_dependency(JPEG)
find_dependency(PNG)
include("${CMAKE_CURRENT_LIST_DIR}/engine.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/targets.cmake")
