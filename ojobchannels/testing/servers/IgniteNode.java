import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;
import javax.cache.configuration.Factory;
import org.apache.ignite.Ignite;
import org.apache.ignite.IgniteCheckedException;
import org.apache.ignite.Ignition;
import org.apache.ignite.cluster.ClusterNode;
import org.apache.ignite.cluster.ClusterState;
import org.apache.ignite.configuration.ClientConnectorConfiguration;
import org.apache.ignite.configuration.DataRegionConfiguration;
import org.apache.ignite.configuration.DataStorageConfiguration;
import org.apache.ignite.configuration.IgniteConfiguration;
import org.apache.ignite.configuration.WALMode;
import org.apache.ignite.internal.managers.discovery.IgniteClusterNode;
import org.apache.ignite.internal.util.nio.GridCommunicationClient;
import org.apache.ignite.spi.IgniteSpiOperationTimeoutException;
import org.apache.ignite.spi.IgniteSpiOperationTimeoutHelper;
import org.apache.ignite.spi.communication.tcp.TcpCommunicationSpi;
import org.apache.ignite.spi.discovery.tcp.TcpDiscoverySpi;
import org.apache.ignite.spi.discovery.tcp.ipfinder.vm.TcpDiscoveryVmIpFinder;
import org.apache.ignite.ssl.SslContextFactory;

/** A small Ignite node on the loopback address; ignite.py sets the properties. */
public class IgniteNode {
    private static final String HOST = "127.0.0.1";
    private static final int THREADS = 4;
    private static final int BUFFER = 64 << 10;
    private static final long MEGABYTE = 1 << 20;

    /** By the port of another node, the port to connect to in its place. */
    private static final Map<Integer, Integer> ROUTES = Arrays
        .stream(System.getProperty("node.routes").split(","))
        .filter(route -> !route.isEmpty())
        .map(route -> route.split(":"))
        .collect(Collectors.toMap(route -> Integer.valueOf(route[0]), route -> Integer.valueOf(route[1])));

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(System.getProperty("node.folder"));
        Ignite ignite = Ignition.start(new IgniteConfiguration()
            .setIgniteInstanceName("node")
            .setConsistentId(System.getProperty("node.discovery"))
            .setWorkDirectory(folder.toString())
            .setLocalHost(HOST)
            .setMetricsLogFrequency(0)
            .setFailureDetectionTimeout(Long.getLong("node.failure"))
            .setConnectorConfiguration(null)
            .setPublicThreadPoolSize(THREADS)
            .setSystemThreadPoolSize(THREADS)
            .setStripedPoolSize(THREADS)
            .setQueryThreadPoolSize(THREADS)
            .setDataStreamerThreadPoolSize(1)
            .setManagementThreadPoolSize(2)
            .setRebalanceThreadPoolSize(1)
            .setAuthenticationEnabled(Boolean.getBoolean("node.authentication"))
            .setDiscoverySpi(discovery())
            .setCommunicationSpi(new RoutedCommunication()
                .setLocalAddress(HOST)
                .setLocalPort(Integer.getInteger("node.communication"))
                .setLocalPortRange(0))
            .setClientConnectorConfiguration(clients())
            .setDataStorageConfiguration(storage()));
        ignite.cluster().state(ClusterState.ACTIVE);
        Files.createFile(folder.resolve("ready"));
    }

    private static TcpDiscoverySpi discovery() {
        TcpDiscoveryVmIpFinder peers = new TcpDiscoveryVmIpFinder();
        peers.setAddresses(Arrays.asList(System.getProperty("node.peers").split(",")));
        return new RoutedDiscovery()
            .setLocalAddress(HOST)
            .setLocalPort(Integer.getInteger("node.discovery"))
            .setLocalPortRange(0)
            .setIpFinder(peers);
    }

    private static ClientConnectorConfiguration clients() {
        ClientConnectorConfiguration clients = new ClientConnectorConfiguration()
            .setHost(HOST)
            .setPort(Integer.getInteger("node.port"))
            .setPortRange(0)
            // Otherwise a connection takes megabytes: the size of the buffers of a loopback socket.
            .setSocketSendBufferSize(BUFFER)
            .setSocketReceiveBufferSize(BUFFER)
            .setThreadPoolSize(THREADS);
        String keys = System.getProperty("node.keys");
        if (keys != null) {
            SslContextFactory tls = new SslContextFactory();
            tls.setKeyStoreType("PKCS12");
            tls.setKeyStoreFilePath(keys);
            tls.setKeyStorePassword(System.getProperty("node.password").toCharArray());
            tls.setTrustStoreType("PKCS12");
            tls.setTrustStoreFilePath(System.getProperty("node.trusted"));
            tls.setTrustStorePassword(System.getProperty("node.password").toCharArray());
            clients.setSslEnabled(true)
                .setSslClientAuth(true)
                .setUseIgniteSslContextFactory(false)
                .setSslContextFactory((Factory<javax.net.ssl.SSLContext>) tls);
        }
        return clients;
    }

    private static DataStorageConfiguration storage() {
        boolean persistent = Boolean.getBoolean("node.persistent");
        // Each cache takes eight megabytes, and a node without a disk ends when its memory is full.
        long limit = (persistent ? 128 : 1024) * MEGABYTE;
        DataStorageConfiguration storage = new DataStorageConfiguration()
            .setDefaultDataRegionConfiguration(new DataRegionConfiguration()
                .setInitialSize(16 * MEGABYTE)
                .setMaxSize(limit)
                .setPersistenceEnabled(persistent));
        if (persistent) {
            storage.setWalMode(WALMode.FSYNC)
                .setWalSegmentSize((int) (4 * MEGABYTE))
                .setMaxWalArchiveSize(64 * MEGABYTE);
        }
        return storage;
    }

    private static class RoutedDiscovery extends TcpDiscoverySpi {
        @Override protected Socket openSocket(Socket socket, InetSocketAddress node, IgniteSpiOperationTimeoutHelper limit)
            throws IOException, IgniteSpiOperationTimeoutException {
            Integer port = ROUTES.get(node.getPort());
            return super.openSocket(socket, port == null ? node : new InetSocketAddress(HOST, port), limit);
        }
    }

    private static class RoutedCommunication extends TcpCommunicationSpi {
        @Override protected GridCommunicationClient createTcpClient(ClusterNode node, int index)
            throws IgniteCheckedException {
            return super.createTcpClient(ROUTES.isEmpty() ? node : routed(node), index);
        }

        private static ClusterNode routed(ClusterNode node) {
            return (ClusterNode) Proxy.newProxyInstance(
                IgniteNode.class.getClassLoader(),
                new Class<?>[] {IgniteClusterNode.class},
                (proxy, method, arguments) -> {
                    try {
                        Object value = method.invoke(node, arguments);
                        boolean isPort = method.getName().equals("attribute") && value instanceof Integer;
                        return isPort ? ROUTES.getOrDefault(value, (Integer) value) : value;
                    }
                    catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
        }
    }
}
