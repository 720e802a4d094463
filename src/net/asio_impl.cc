// The one place where the non-template bodies of Asio and Beast are compiled
// (BOOST_ASIO_SEPARATE_COMPILATION, BOOST_BEAST_SEPARATE_COMPILATION): every other file that includes them
// compiles a third faster.

#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
