set(PROGRAM classify)
set(TASK_SOURCES src/classifier.cpp)
