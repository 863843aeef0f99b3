import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import javax.cache.configuration.Factory;
import org.apache.ignite.Ignite;
import org.apache.ignite.Ignition;
import org.apache.ignite.cluster.ClusterState;
import org.apache.ignite.configuration.ClientConnectorConfiguration;
import org.apache.ignite.configuration.DataRegionConfiguration;
import org.apache.ignite.configuration.DataStorageConfiguration;
import org.apache.ignite.configuration.IgniteConfiguration;
import org.apache.ignite.configuration.WALMode;
import org.apache.ignite.spi.communication.tcp.TcpCommunicationSpi;
import org.apache.ignite.spi.discovery.tcp.TcpDiscoverySpi;
import org.apache.ignite.spi.discovery.tcp.ipfinder.vm.TcpDiscoveryVmIpFinder;
import org.apache.ignite.ssl.SslContextFactory;

/** A small Ignite node on the loopback address; ignite.py sets the properties. */
public class IgniteNode {
    private static final String HOST = "127.0.0.1";
    private static final int THREADS = 4;
    private static final long MEGABYTE = 1 << 20;

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
            .setCommunicationSpi(new TcpCommunicationSpi()
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
        return new TcpDiscoverySpi()
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
        DataStorageConfiguration storage = new DataStorageConfiguration()
            .setDefaultDataRegionConfiguration(new DataRegionConfiguration()
                .setInitialSize(16 * MEGABYTE)
                .setMaxSize(128 * MEGABYTE)
                .setPersistenceEnabled(persistent));
        if (persistent) {
            storage.setWalMode(WALMode.FSYNC)
                .setWalSegmentSize((int) (4 * MEGABYTE))
                .setMaxWalArchiveSize(64 * MEGABYTE);
        }
        return storage;
    }
}
