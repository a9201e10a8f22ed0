# Installs the client library with what it is made of, so that other projects
# find_package(trainyard): cmake --install BUILD --component client
include(CMakePackageConfigHelpers)

set(libraries base proto proto_channel proto_json client)
foreach(name ${libraries})
  set_target_properties(trainyard_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS trainyard_${name} EXPORT trainyard-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT client
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/trainyard")
endforeach()

# Headers keep their paths below include/trainyard; generated ones are included
# as trainyard/v1/….
set(headers "${CMAKE_INSTALL_INCLUDEDIR}/trainyard")
install(FILES artifacts.h cancel.h client.h retry.h watch.h
  DESTINATION "${headers}/client" COMPONENT client)
install(FILES "${PROJECT_SOURCE_DIR}/base/clock.h" "${PROJECT_SOURCE_DIR}/base/status_macros.h"
  DESTINATION "${headers}/base" COMPONENT client)
install(FILES "${PROJECT_SOURCE_DIR}/proto/channel/channel.h"
  DESTINATION "${headers}/proto/channel" COMPONENT client)
install(FILES "${PROJECT_SOURCE_DIR}/proto/json/job_json.h"
  DESTINATION "${headers}/proto/json" COMPONENT client)
install(DIRECTORY "${PROJECT_BINARY_DIR}/proto/generated/trainyard/v1"
  DESTINATION "${headers}" COMPONENT client FILES_MATCHING PATTERN "*.h")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/proto/trainyard"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/trainyard/proto" COMPONENT client
  FILES_MATCHING PATTERN "*.proto")

set(config "${CMAKE_INSTALL_LIBDIR}/cmake/trainyard")
install(EXPORT trainyard-targets NAMESPACE trainyard:: DESTINATION "${config}" COMPONENT client)
configure_package_config_file("${CMAKE_CURRENT_SOURCE_DIR}/trainyard-config.cmake.in"
  "${CMAKE_CURRENT_BINARY_DIR}/trainyard-config.cmake" INSTALL_DESTINATION "${config}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/trainyard-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/trainyard-config.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/trainyard-config-version.cmake"
  DESTINATION "${config}" COMPONENT client)
