// Network file systems without locks: libhdf5 calls the flock of this program instead of the C library's.
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cerrno>

#include "io/error_of.h"
#include "io/hdf5.h"
#include "io/hdf5_attributes.h"
#include "support/temporary_folder.h"

namespace {
int flock_error = 0;
}

extern "C" int flock(int, int) noexcept {
  errno = flock_error;
  return flock_error == 0 ? 0 : -1;
}

namespace lockstep::io::hdf5 {
namespace {

using testing::error_of;
using testing::expect_error;

class Hdf5Locking : public ::testing::Test {
 protected:
  Hdf5Locking() {
    NewFile file(path_);
    write_attribute(file, file.id(), "key", "value");
    file.commit();
  }
  ~Hdf5Locking() override { flock_error = 0; }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_.file("data.h5");
};

TEST_F(Hdf5Locking, SaysWhatToSetWhenTheFileSystemHasNoLocks) {
  flock_error = ENOLCK;
  expect_error(error_of([&] { open_file(path_); }), ExitCode::no_input,
               {path_, "cannot lock files", "No locks available", "HDF5_USE_FILE_LOCKING=FALSE"});
}

TEST_F(Hdf5Locking, SaysThatAnotherProgramWrites) {
  flock_error = EWOULDBLOCK;
  expect_error(error_of([&] { open_file(path_); }), ExitCode::no_input,
               {path_, "another program has it open"});
}

TEST_F(Hdf5Locking, OpensWhenLocksWork) {
  EXPECT_EQ(read_text(open_file(path_).get(), "key"), "value");
}

}  // namespace
}  // namespace lockstep::io::hdf5
