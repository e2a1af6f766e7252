/* Shuts a file system down as a loss of power would, when a byte comes: nothing that was not flushed reaches the disk any
 * more (FS_IOC_SHUTDOWN with the flag "no log flush", the same for ext4 and XFS). */
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  uint32_t no_log_flush = 2;
  char byte;
  int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
  return write(1, "r", 1) != 1 || read(0, &byte, 1) != 1 || ioctl(fd, 0x8004587d, &no_log_flush) != 0;
}
