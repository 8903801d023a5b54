set(PROGRAM segment)
set(TASK_SOURCES src/segmenter.cpp src/write_png.cpp)
