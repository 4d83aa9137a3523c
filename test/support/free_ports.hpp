// TCP ports of the loopback interface that nobody listens on: chosen by the kernel, all different.
// Another process may take one before it is used; tests that care try again.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

namespace bftmeta::test {

inline std::vector<std::uint16_t> free_ports(std::size_t count) {
  std::vector<int> sockets;
  std::vector<std::uint16_t> ports;
  while (ports.size() < count) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      break;
    sockets.push_back(fd);
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int fd : sockets) ::close(fd);
  return ports;
}

// The first ports of `count` blocks of `size` ports each. Below the range that the kernel takes
// ports of outgoing connections from, so that a server that was killed finds its port free again.
inline std::vector<std::uint16_t> free_port_blocks(std::size_t count, std::uint16_t size) {
  const auto is_free = [](std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return bound;
  };
  constexpr std::uint32_t kFirst = 10000;
  constexpr std::uint32_t kLast = 30000;
  static std::uint32_t next = static_cast<std::uint32_t>(::getpid()) * 64;
  std::vector<std::uint16_t> blocks;
  for (std::uint32_t tried = 0; blocks.size() < count && tried < kLast - kFirst; tried += size) {
    const auto base = static_cast<std::uint16_t>(kFirst + next % (kLast - kFirst));
    next += size;
    std::uint16_t free = 0;
    while (free < size && is_free(static_cast<std::uint16_t>(base + free))) ++free;
    if (free == size) blocks.push_back(base);
  }
  return blocks;
}

}  // namespace bftmeta::test
