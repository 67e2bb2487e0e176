# find_package(smesec) gives the targets smesec::smesec (shared) and smesec::static. The folder is moved with the
# installation, so all paths are told from this file.
get_filename_component(_smesec_lib "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
get_filename_component(_smesec_include "${_smesec_lib}/../include" ABSOLUTE)

if(NOT TARGET smesec::smesec)
  add_library(smesec::smesec SHARED IMPORTED)
  set_target_properties(smesec::smesec PROPERTIES
    IMPORTED_LOCATION "${_smesec_lib}/libsmesec.so"
    IMPORTED_SONAME "libsmesec.so.0"
    INTERFACE_INCLUDE_DIRECTORIES "${_smesec_include}")
endif()

if(NOT TARGET smesec::static)
  add_library(smesec::static STATIC IMPORTED)
  set_target_properties(smesec::static PROPERTIES
    IMPORTED_LOCATION "${_smesec_lib}/libsmesec.a"
    INTERFACE_LINK_LIBRARIES "pthread;dl;m"
    INTERFACE_INCLUDE_DIRECTORIES "${_smesec_include}")
endif()

unset(_smesec_lib)
unset(_smesec_include)
